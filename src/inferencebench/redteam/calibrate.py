"""From the zoo's runs to the calibration of the margins."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from inferencebench import __version__
from inferencebench.errors import UserError
from inferencebench.files import read_jsonl, write_json
from inferencebench.gates.integrity.calibration import NO_MISTAKES, Calibration, Seen, derive, path_of, seen_share
from inferencebench.gates.integrity.content import shared_mistakes
from inferencebench.gates.quality import Answer
from inferencebench.redteam.model import Fixture
from inferencebench.run import baseline as baselines
from inferencebench.run.spec import RunSpec
from inferencebench.suites.model import Suite

CHECKS: dict[str, Literal["margins", "opening"]] = {"margins": "margins", "opening-margins": "opening"}
IMPOSTORS = {
    "margins": {
        "small_model",
        "layer_drop",
        "low_bits",
        "mmlu_router",
        "evaluator_detect",
        "draft_only",
        "canned_text",
    },
    "wrong": {"small_model", "layer_drop", "low_bits"},
    "opening": {"small_model", "layer_drop", "draft_only", "canned_text", "evaluator_detect", "mmlu_router"},
}
"""Cheats whose every timed answer is another text than the base model's: what the margins must tell apart."""


def calibrate(suite: Suite, fixtures: Sequence[Fixture], out: Path, specs: Sequence[RunSpec]) -> Calibration:
    """The calibration that finished runs of the zoo in `out` give; stored with the package's own.

    Raises UserError where honest controls or impostors were not run."""
    seen: dict[str, list[Seen]] = {"margins": [], "opening": [], "wrong": []}
    for fixture, spec in zip(fixtures, specs, strict=True):
        for check, part in CHECKS.items():
            if fixture.kind == "honest" or fixture.name in IMPOSTORS[part]:
                seen[part] += _seen(fixture, spec.directory(out), check)
        if fixture.kind == "honest" or fixture.name in IMPOSTORS["wrong"]:
            seen["wrong"] += _mistakes(fixture, spec, out)
    try:
        margins, opening = derive(seen["margins"]), derive(seen["opening"])
        wrong = derive(seen["wrong"]) if seen["wrong"] else NO_MISTAKES
    except ValueError as error:
        raise UserError(f"{out}: {error}; run `inferencebench audit --zoo {suite.name}` there first") from None
    calibration = Calibration(
        model=suite.model.id,
        margins=margins,
        opening=opening,
        wrong=wrong,
        seen={part: tuple(rows) for part, rows in seen.items()},
        provenance={
            "suite": suite.name,
            "suite_sha256": suite.sha256,
            "inferencebench": __version__,
            "date": datetime.now(UTC).date().isoformat(),
        },
    )
    write_json(path_of(suite.model.id), calibration)
    return calibration


def _mistakes(fixture: Fixture, spec: RunSpec, out: Path) -> list[Seen]:
    """How many of the reference's wrong answers a finished run gave; nothing where there is none to compare."""
    baseline = baselines.spec_of(spec, "").directory(out)
    try:
        ours, theirs = (
            [Answer.model_validate(row) for row in read_jsonl(folder / baselines.ANSWERS_FILE)]
            for folder in (spec.directory(out), baseline)
        )
    except (OSError, ValueError):
        return []
    found = shared_mistakes(ours, theirs)
    return [seen_share(fixture.name, fixture.kind, found.same, found.total)] if found.total else []


def _seen(fixture: Fixture, directory: Path, check: str) -> list[Seen]:
    """The effect in a finished run; nothing where the check had nothing to look at."""
    try:
        checks = json.loads((directory / "result.json").read_bytes())["integrity"]["checks"]
        numbers = next(c["numbers"] for c in checks if c["name"] == check and c["numbers"])
        nats, se = round(float(numbers["deficit_nats"]), 4), round(float(numbers["standard_error_nats"]), 4)
        return [Seen(fixture.name, fixture.kind, nats, se, int(numbers["tokens"]))]
    except (OSError, ValueError, LookupError, TypeError, StopIteration):
        return []
