"""The workspace tools `./evaluate`, `./timer` and `./test_server`: they run inside, on the standard library alone."""
