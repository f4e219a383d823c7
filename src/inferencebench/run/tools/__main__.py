"""Entry of the workspace tools: `python -m inferencebench.run.tools NAME …`."""

import sys

from inferencebench.run.tools import evaluate, ledger, smoke, timer

COMMANDS = {"evaluate": evaluate.main, "ledger": ledger.main, "timer": timer.main, "test_server": smoke.main}

if __name__ == "__main__":
    sys.exit(COMMANDS[sys.argv[1]](sys.argv[2:]))
