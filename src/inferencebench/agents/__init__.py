"""Stage `agents`: a workspace and a budget in; a submission out."""
