"""The baseline of a run: `engine:pytorch` at its default, by the same pipeline, and refused when it is not alike."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

from inferencebench.errors import UserError
from inferencebench.files import read_jsonl, sha256_file
from inferencebench.gates.quality import Answer
from inferencebench.run.record import BaselineRef, Measured
from inferencebench.run.spec import BASELINE_AGENT, Condition, RunSpec

KEY_FILE = "measure/comparability.json"
MEASURED_FILE = "measure/measured.json"
ANSWERS_FILE = "quality/answers.jsonl"


class Baseline(NamedTuple):
    """A finished baseline run."""

    directory: Path
    measured: Measured
    answers: list[Answer]
    ref: BaselineRef

    @property
    def accuracy(self) -> float:
        """Share of the eval questions it answered rightly."""
        return sum(answer.correct for answer in self.answers) / len(self.answers)


def spec_of(spec: RunSpec, agent_sha256: str) -> RunSpec:
    """The baseline's spec for a run: the same suite, scenario, seeds and sandbox; the PyTorch default."""
    return spec.model_copy(
        update={
            "agent": BASELINE_AGENT,
            "agent_sha256": agent_sha256,
            "condition": Condition(),
            "repeat": 0,
        }
    )


def import_from(source: Path, spec: RunSpec, out: Path) -> None:
    """Copy the baseline run of `spec` from another campaign directory, unless one is here already.

    Raises UserError when there is none; whether it is comparable is decided by `load`."""
    found, target = spec.directory(source), spec.directory(out)
    if (target / "result.json").exists():
        return
    if not (found / "result.json").exists():
        raise UserError(f"--baseline {source}: has no finished baseline run at {found.relative_to(source)}")
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(found, part, symlinks=True)
    part.rename(target)


def load(directory: Path, key: dict[str, str]) -> Baseline:
    """Read the baseline run in `directory`, for a run whose comparability key is `key`.

    Raises UserError, naming what differs, when a speedup over it would compare unlike things."""
    theirs = json.loads((directory / KEY_FILE).read_bytes())
    different = [
        f"{name} {_short(theirs.get(name))} there, {_short(key.get(name))} here"
        for name in sorted(key.keys() | theirs.keys())
        if theirs.get(name) != key.get(name)
    ]
    if different:
        raise UserError(
            f"baseline {directory} cannot be used: {'; '.join(different)}. Measure a new one in another --out directory"
        )
    measured_path = directory / MEASURED_FILE
    return Baseline(
        directory,
        Measured.model_validate_json(measured_path.read_bytes()),
        [Answer.model_validate(row) for row in read_jsonl(directory / ANSWERS_FILE)],
        BaselineRef(key=sha256_file(directory / KEY_FILE), sha256=sha256_file(measured_path), directory=str(directory)),
    )


def _short(value: str | None) -> str:
    return "absent" if value is None else value[:16]
