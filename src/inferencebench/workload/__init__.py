"""Stage `workload`: corpora in; request sets and question sets, exact to the token and named by content, out."""
