"""`./ledger`: what was tried, what it gave, and the way back."""

import argparse
import json
import sys
from typing import Any
from urllib.parse import urlencode

from inferencebench.run.tools.wire import call


def main(argv: list[str]) -> int:
    """Print the list or a diff, or restore; exit code 1 with one line on stderr when the harness refuses."""
    parser = argparse.ArgumentParser(
        prog="./ledger",
        description="Every evaluation, what changed, and the way back to one of them.",
        epilog="examples: ./ledger; ./ledger diff 3 --against best; ./ledger restore BEST",
    )
    parser.add_argument("action", nargs="?", choices=("list", "diff", "restore"), default="list")
    parser.add_argument("which", nargs="?", help="number of an evaluation, or BEST")
    parser.add_argument("--against", default="previous", help="for diff: previous, best, or a number")
    parser.add_argument("--json", action="store_true", help="the answer as JSON")
    options = parser.parse_args(argv)
    if options.action != "list" and options.which is None:
        parser.error(f"{options.action} needs the number of an evaluation, or BEST")
    if options.action == "list":
        response = call("GET", "/v1/ledger")
    elif options.action == "diff":
        query = urlencode({"which": options.which, "against": options.against})
        response = call("GET", f"/v1/ledger/diff?{query}")
    else:
        response = call("POST", "/v1/restore", json.dumps({"which": options.which}).encode())
    answer = json.loads(response.read())
    if response.status != 200:
        print(answer["detail"], file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(answer))
    elif options.action == "list":
        print("\n".join(lines(answer)))
    elif options.action == "diff":
        print(answer["diff"] or "no difference", end="")
    else:
        print(f"evaluation {answer['id']} is in submission/; what was there is in submission.replaced/")
    return 0


def lines(view: dict[str, Any]) -> list[str]:
    """The list for a terminal, one evaluation and its change per line pair."""
    if not view["entries"]:
        return ["nothing was evaluated yet"]
    noise = view["noise"]["relative"]
    floor = "unknown: evaluate one submission twice" if noise is None else f"{100 * noise:.1f} %"
    better = "lower" if view["lower_is_better"] else "higher"
    found = [f"{view['metric']}, {better} is better; noise floor {floor}"]
    for entry in view["entries"]:
        e = entry["evaluation"]
        mark = "*" if entry["best"] else " "
        kind = "quick" if e["quick"] else "full"
        gate = {True: "passes", False: "FAILS the gate", None: "gate not judged"}[e["quality_passed"]]
        result = f"{e['value']:.6g}, accuracy {e['accuracy']:.3f}, {gate}" if e["ok"] else f"failed: {e['error']}"
        found.append(f"{mark}{e['id']:4d}  {e['at_s']:7.0f} s  {kind:5s}  {result}")
        for title, change in (("previous", entry["since_previous"]), ("best", entry["since_best"])):
            if change is not None:
                found.append(f"       since {title} ({change['against']}): {_change(change)}")
    found.append("* the best full evaluation that passed; ./ledger restore BEST puts it back")
    return found


def _change(change: dict[str, Any]) -> str:
    if not change["count"]:
        return "the same submission"
    named = "; ".join(change["variables"][:5]) + ("; …" if change["count"] > 5 else "")
    return f"{'SINGLE variable' if change['count'] == 1 else str(change['count']) + ' variables'}: {named}"
