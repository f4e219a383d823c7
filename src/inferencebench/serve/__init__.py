"""Stage `serve`: a submission and a sandbox in; one ready server, its port proved ours, and its end out."""
