"""`./evaluate`: ask the harness to measure the submission as it is now."""

import argparse
import json
import sys

from inferencebench.run.tools.wire import call


def main(argv: list[str]) -> int:
    """Print progress on stderr and the result on stdout; exit code 0 when the evaluation is valid, else 1."""
    parser = argparse.ArgumentParser(
        prog="./evaluate",
        description="Measure the current submission from outside, on dev requests, and record the result.",
        epilog="example: ./evaluate --quick",
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the requests, 20 questions; never best-seen")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    options = parser.parse_args(argv)
    response = call("POST", "/v1/evaluations", json.dumps({"quick": options.quick}).encode())
    if response.status != 200:
        print(json.loads(response.read())["detail"], file=sys.stderr)
        return 1
    result = None
    for line in response:
        event = json.loads(line)
        if event["event"] == "result":
            result = event["evaluation"]
        else:
            print(event["text"], file=sys.stderr)
    if result is None:
        print("the evaluation was cut off", file=sys.stderr)
        return 1
    print(json.dumps(result) if options.json else describe(result))
    return 0 if result["ok"] else 1


def describe(result: dict[str, object]) -> str:
    """A result in one line."""
    if not result["ok"]:
        return f"evaluation {result['id']}: failed: {result['error']}"
    gate = {True: "passes the gate", False: "FAILS the gate", None: "gate not judged"}[result["quality_passed"]]  # type: ignore[index]
    kind = "quick, " if result["quick"] else ""
    return (
        f"evaluation {result['id']} ({kind}{result['seconds']:.1f} s): {result['metric']} = {result['value']:.6g}; "
        f"accuracy {result['accuracy']:.3f}, {gate}; submission {str(result['submission_sha256'])[:12]}"
    )
