"""The workspace tools `./evaluate`, `./timer`, `./test_server` and `./ledger`: inside, by the standard library alone."""
