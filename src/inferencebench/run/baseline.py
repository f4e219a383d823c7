"""The baseline of a run: `engine:pytorch` at its default, by the same pipeline, and refused when it is not alike."""

import json
import re
import shutil
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter

from inferencebench.errors import UserError
from inferencebench.files import read_jsonl, sha256_file, write_atomic
from inferencebench.gates.mini import Proportion
from inferencebench.gates.quality import Answer
from inferencebench.run import stored
from inferencebench.run.machine import lease
from inferencebench.run.record import BaselineRef, Measured, Outcome
from inferencebench.run.spec import BASELINE_AGENT, Condition, RunSpec
from inferencebench.suites.unreadable import unreadable

KEY_FILE = "measure/comparability.json"
MEASURED_FILE = "measure/measured.json"
ANSWERS_FILE = "quality/answers.jsonl"
RESULT_FILE = "result.json"
KEY = TypeAdapter(dict[str, str])
"""What must be equal between a run and its baseline."""
SHA256 = re.compile("[0-9a-f]{64}")
SHOWN_HEX = 16
"""Digits of a hash in a message."""


class Baseline(NamedTuple):
    """A finished baseline run."""

    directory: Path
    measured: Measured
    answers: list[Answer]
    ref: BaselineRef

    @property
    def accuracy(self) -> Proportion:
        """Eval questions it answered rightly."""
        return Proportion(sum(answer.correct for answer in self.answers), len(self.answers))


def spec_of(spec: RunSpec, agent_sha256: str) -> RunSpec:
    """The baseline's spec for a run: the same suite, scenario, seeds and sandbox; the PyTorch default."""
    return spec.model_copy(
        update={
            "agent": BASELINE_AGENT,
            "agent_sha256": agent_sha256,
            "condition": Condition(),
            "repeat": 0,
            "share_device": False,
        }
    )


def import_from(source: Path, spec: RunSpec, out: Path, key: dict[str, str]) -> None:
    """Copy the baseline run of `spec` from another campaign directory, unless one is here already.

    Raises UserError, before anything is copied, when there is none there or it is not comparable."""
    found, target = spec.directory(source), spec.directory(out)
    if (target / RESULT_FILE).exists():
        return
    if not (found / RESULT_FILE).exists():
        raise UserError(f"--baseline {source}: has no finished baseline run at {found.relative_to(source)}")
    load(found, key)
    target.mkdir(parents=True, exist_ok=True)
    with lease(target / ".lock", wait=True):
        for path in sorted(found.iterdir(), key=lambda p: p.name == RESULT_FILE):
            if path.is_dir():
                shutil.rmtree(target / path.name, ignore_errors=True)
                shutil.copytree(path, target / path.name, symlinks=True)
            elif path.name != ".lock":
                write_atomic(target / path.name, path.read_bytes())


def load(directory: Path, key: dict[str, str]) -> Baseline:
    """Read the baseline run in `directory`, for a run whose comparability key is `key`.

    Raises UserError when it failed, is damaged or not whole, or, naming what differs, when a speedup over it would
    compare unlike things."""
    stored.check_unchanged(directory)
    try:
        theirs = KEY.validate_json((directory / KEY_FILE).read_bytes())
        outcome = json.loads((directory / RESULT_FILE).read_bytes())["outcome"]
        measured = Measured.model_validate_json((directory / MEASURED_FILE).read_bytes())
        answers = [Answer.model_validate(row) for row in read_jsonl(directory / ANSWERS_FILE)]
    except (OSError, ValueError, LookupError, TypeError) as error:
        what = unreadable(error)
        raise UserError(f"baseline {directory} is damaged ({what}); remove it, and it is measured again") from None
    if outcome != Outcome.PASSED or measured.failure is not None or not answers:
        raise UserError(f"baseline {directory} did not pass ({outcome}); see its log, then run the baseline again")
    stored.launch_folders(directory, measured)
    if different := _differences(theirs, key):
        raise UserError(f"baseline {directory} cannot be used: {'; '.join(different)}. {_advice(theirs, key)}")
    ref = BaselineRef(
        key=sha256_file(directory / KEY_FILE),
        sha256=sha256_file(directory / MEASURED_FILE),
        directory="/".join(directory.parts[-5:]),
    )
    return Baseline(directory, measured, answers, ref)


def _differences(theirs: dict[str, str], ours: dict[str, str]) -> list[str]:
    return [
        f"{name} {_short(theirs.get(name))} there, {_short(ours.get(name))} here"
        for name in sorted(theirs.keys() | ours.keys())
        if theirs.get(name) != ours.get(name)
    ]


def _advice(theirs: dict[str, str], ours: dict[str, str]) -> str:
    if theirs.get("salt") != ours.get("salt"):
        return "Eval sets differ by salt: copy its .salt into a new, empty --out directory to share them"
    return "Measure a new one in another --out directory"


def _short(value: str | None) -> str:
    if value is None:
        return "absent"
    return value[:SHOWN_HEX] if SHA256.fullmatch(value) else value
