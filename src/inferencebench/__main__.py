"""`python -m inferencebench`: the command line."""

from inferencebench.cli.main import main

main()
