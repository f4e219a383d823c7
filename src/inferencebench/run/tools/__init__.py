"""The workspace tools `./evaluate`, `./timer`, `./test_server` and `./ledger`: inside, on the standard library only."""
