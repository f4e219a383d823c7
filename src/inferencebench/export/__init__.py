"""Stage `export`: suites in, Harbor task directories out; finished runs in, Inspect logs and ATIF trajectories out."""
