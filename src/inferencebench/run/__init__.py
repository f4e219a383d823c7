"""Stage `run`: the pipeline of one run, its clock, its records."""
