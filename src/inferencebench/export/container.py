"""What runs inside a Harbor task's containers: `python -m inferencebench.export.container {model,oracle,verify}`."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from inferencebench.errors import BenchError, UserError
from inferencebench.files import write_json
from inferencebench.run.record import Outcome, Result
from inferencebench.run.salt import LENGTH, NAME

SALT_VARIABLE = "IB_SALT"
"""64 hex digits shared by the verifiers of one job: the same eval requests for every trial. Unset: drawn anew."""
COPIER = """#!/bin/bash
# Leaves the submission that the agent made elsewhere.
mkdir -p submission && cp -a agent/submission/. submission/
"""


def model(suite: str, out: Path) -> None:
    """Fetch or make the base model and link `out` to it."""
    from inferencebench.models.store import ensure_checkpoint
    from inferencebench.paths import cache_dir
    from inferencebench.suites.load import load

    checkpoint = ensure_checkpoint(load(suite).model, cache_dir(), progress=lambda text: print(text, file=sys.stderr))
    out.symlink_to(checkpoint.path)


def oracle(engine: str, out: Path) -> None:
    """Write an engine's default launcher: a solution that works."""
    from inferencebench.engines import registry

    out.mkdir(parents=True, exist_ok=True)
    (out / "start_server.sh").write_text(registry.get(engine).default_launcher())


def verify(task: Path, submission: Path, logs: Path) -> dict[str, float | int]:
    """Score `submission` by the whole pipeline on this machine, its baseline first; gives and writes the rewards.

    The campaign with every record is `logs/campaign`. Raises BenchError when the harness, not the submission, failed:
    then there is no reward."""
    from inferencebench.cli import request
    from inferencebench.run import pipeline
    from inferencebench.run.reporter import Silent
    from inferencebench.suites.load import load

    given = json.loads(task.read_bytes())
    suite = load(given["suite"])
    out = logs / "campaign"
    _salt(out)
    agent = out / ".submission"
    stage(submission, agent)
    common = request.Common(out)
    pair = request.seed_pair(",".join(map(str, given["seed_pair"])), suite)
    spec = request.spec(suite, given["scenario"], f"script:{agent}", common, pair=pair)
    result = pipeline.run(spec, request.bench(suite, common, Silent()))
    if result.outcome is Outcome.INFRASTRUCTURE_ERROR:
        raise BenchError(f"not scored: {result.reason}")
    write_json(logs / "result.json", result)
    found = rewards(result)
    write_json(logs / "reward.json", found)
    return found


def rewards(result: Result) -> dict[str, float | int]:
    """A result as Harbor's numbers: `reward` is the speedup; what is unknown is left out."""
    found: dict[str, float | int] = {
        "reward": result.speedup,
        "passed": int(result.outcome is Outcome.PASSED),
        "ranked": int(result.ranked),
    }
    if result.raw_speedup is not None:
        found["raw_speedup"] = result.raw_speedup
    if result.metric.value is not None:
        found[result.metric.name.value] = result.metric.value
    if result.quality is not None:
        found["accuracy"] = result.quality.accuracy
    return found


def stage(submission: Path, agent: Path) -> None:
    """A script agent that leaves a copy of `submission`. A link counts as what it names, and only inside it: the
    verifier has files that a submission must not carry away."""
    shutil.rmtree(agent, ignore_errors=True)
    (agent / "submission").mkdir(parents=True)
    (agent / "solve.sh").write_text(COPIER)
    root = submission.resolve()
    for path in sorted(submission.rglob("*")):
        target = path.resolve()
        if path.is_symlink() and not target.is_relative_to(root):
            print(f"left out, a link to elsewhere: {path.relative_to(submission)}", file=sys.stderr)
        elif target.is_file() and not any(p.is_symlink() for p in path.relative_to(submission).parents if p.name):
            copy = agent / "submission" / path.relative_to(submission)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(target, copy)


def _salt(out: Path) -> None:
    given = os.environ.pop(SALT_VARIABLE, "")
    if not given:
        return
    try:
        salt = bytes.fromhex(given)
    except ValueError:
        salt = b""
    if len(salt) != LENGTH:
        raise UserError(f"{SALT_VARIABLE}: expected {2 * LENGTH} hex digits")
    out.mkdir(parents=True, exist_ok=True)
    (out / NAME).write_bytes(salt)
    (out / NAME).chmod(0o600)


def main(argv: Sequence[str]) -> int:
    """The command line; exit codes as the package's own."""
    parser = argparse.ArgumentParser(prog="inferencebench.export.container")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, arguments in (("model", ("suite", "out")), ("oracle", ("engine", "out")),
                            ("verify", ("task", "submission", "logs"))):  # fmt: skip
        command = commands.add_parser(name)
        for argument in arguments:
            command.add_argument(argument)
    given = parser.parse_args(argv)
    try:
        if given.command == "model":
            model(given.suite, Path(given.out))
        elif given.command == "oracle":
            oracle(given.engine, Path(given.out))
        else:
            print(json.dumps(verify(Path(given.task), Path(given.submission), Path(given.logs))))
    except BenchError as error:
        print(f"inferencebench: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
