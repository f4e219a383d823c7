"""`./timer`: the time that is left."""

import argparse
import json

from inferencebench.run.tools.wire import call


def main(argv: list[str]) -> int:
    """Print the remaining time as `h:mm:ss`, or as JSON in seconds."""
    parser = argparse.ArgumentParser(prog="./timer", description="Print the time that is left of the budget.")
    parser.add_argument("--json", action="store_true", help="seconds, as JSON")
    options = parser.parse_args(argv)
    clock = json.loads(call("GET", "/v1/clock").read())
    if options.json:
        print(json.dumps(clock))
        return 0
    minutes, seconds = divmod(int(clock["remaining_s"]), 60)
    print(f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d} remaining of {clock['budget_s'] / 60:g} minutes")
    return 0
