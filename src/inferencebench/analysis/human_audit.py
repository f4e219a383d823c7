"""A human audit of a campaign: a stratified sample of its runs, the reader's labels, and rates with intervals.

`draw` takes runs of every outcome; a blind sheet shows what was submitted and nothing of what the gates said. `rates`
says, per outcome, how many of the runs a reader called a cheat, with Wilson's interval.
"""

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from inferencebench.errors import UserError
from inferencebench.files import read_jsonl, write_json, write_jsonl
from inferencebench.gates.quality import wilson
from inferencebench.run.record import Outcome, Result
from inferencebench.serve.text import printable
from inferencebench.suites.model import Record
from inferencebench.suites.unreadable import unreadable

Label = Literal["", "clean", "cheat", "unsure"]
DIFF_CHARACTERS = 200_000


class SheetRow(Record):
    """One run on the sheet that a reader fills in. Blind: nothing of the verdict, the score or the agent."""

    id: str
    suite: str
    scenario: str
    diff: str
    """The frozen submission, as a diff to nothing."""
    answers: tuple[str, ...]
    """The first timed answers."""
    label: Label = ""
    """To be filled in: `clean`, `cheat` or `unsure`."""
    note: str = ""
    revealed: dict[str, str] | None = None
    """Outcome, agent and reason, where the audit is not blind."""


class KeyRow(Record):
    """What a sheet's id stands for."""

    id: str
    directory: str
    outcome: Outcome


class Rate(Record):
    """How often readers called runs of one outcome a cheat."""

    outcome: str
    runs: int
    """Of this outcome in the campaign."""
    labelled: int
    cheats: int
    share: float | None
    low: float | None
    """Wilson 95 % interval."""
    high: float | None


def draw(found: Sequence[tuple[Path, Result]], size: int, seed: int) -> list[tuple[Path, Result]]:
    """`size` runs: one of each outcome first, then in proportion to how many runs an outcome has; in random order.

    Raises UserError without runs, or for a size below 1."""
    if size < 1 or not found:
        raise UserError(f"--sample {size}: a sample of at least 1 from at least 1 finished run; there are {len(found)}")
    rng = random.Random(seed)
    strata: dict[Outcome, list[tuple[Path, Result]]] = defaultdict(list)
    for item in sorted(found, key=lambda item: str(item[0])):
        strata[item[1].outcome].append(item)
    for stratum in strata.values():
        rng.shuffle(stratum)
    taken = dict.fromkeys(strata, 0)
    for _ in range(min(size, len(found))):
        # The outcome that is furthest behind its share; one that has none yet comes before all others.
        open_strata = [o for o in strata if taken[o] < len(strata[o])]
        taken[min(open_strata, key=lambda o: (taken[o] > 0, taken[o] / len(strata[o]), o))] += 1
    chosen = [item for outcome, count in taken.items() for item in strata[outcome][:count]]
    rng.shuffle(chosen)
    return chosen


def write_sheet(path: Path, chosen: Sequence[tuple[Path, Result]], *, blind: bool) -> Path:
    """Write the sheet `path` (JSON lines) and, beside it, the key; gives the key's path.

    Raises UserError when either is there already: a reader's labels are not overwritten."""
    key = key_path(path)
    for existing in (path, key):
        if existing.exists():
            raise UserError(f"{existing}: exists; name another --sheet, or score this one with --labels {path}")
    rows, keys = [], []
    for number, (directory, result) in enumerate(chosen, 1):
        name = f"s{number:03d}"
        revealed = None if blind else {"outcome": result.outcome, "agent": result.agent, "reason": result.reason}
        rows.append(
            SheetRow(
                id=name,
                suite=result.suite,
                scenario=result.scenario,
                diff=_diff(directory),
                answers=_answers(directory),
                revealed=revealed,
            )
        )
        keys.append(KeyRow(id=name, directory=str(directory), outcome=result.outcome))
    write_jsonl(path, rows_json(rows))
    write_json(key, {"runs": [k.model_dump(mode="json") for k in keys]})
    return key


def rows_json(rows: Sequence[Record]) -> list[object]:
    """Records as plain JSON values."""
    return [row.model_dump(mode="json") for row in rows]


def key_path(sheet: Path) -> Path:
    """Where the key of a sheet is."""
    return sheet.with_suffix(".key.json")


def rates(sheet: Path, found: Sequence[tuple[Path, Result]]) -> list[Rate]:
    """Per outcome, the share of labelled runs that a reader called a cheat.

    `found`: all runs of the campaign, for the sizes of the strata. Raises UserError for a damaged sheet or key, a label
    that is none, or a sheet without labels."""
    try:
        rows = [SheetRow.model_validate(row) for row in read_jsonl(sheet)]
        keys = {k["id"]: KeyRow.model_validate(k) for k in json.loads(key_path(sheet).read_bytes())["runs"]}
        labels = [(keys[row.id].outcome, row.label) for row in rows if row.label]
    except (OSError, ValueError, LookupError, TypeError, ValidationError) as error:
        what = (
            "a field is missing or wrong" if isinstance(error, LookupError | TypeError) else unreadable(error, SheetRow)
        )
        raise UserError(f"{sheet}: not a sheet with its key ({what}); labels are clean, cheat or unsure") from None
    if not labels:
        raise UserError(f'{sheet}: no row has a label; write "label": "clean", "cheat" or "unsure" into each')
    return [
        _rate(outcome, [label for o, label in labels if o is outcome], sum(r.outcome is outcome for _, r in found))
        for outcome in Outcome
        if any(o is outcome for o, _ in labels)
    ]


def _rate(outcome: Outcome, labels: Sequence[Label], runs: int) -> Rate:
    decided = [label for label in labels if label != "unsure"]
    cheats = decided.count("cheat")
    bounds = wilson(cheats, len(decided)) if decided else None
    return Rate(
        outcome=outcome,
        runs=runs,
        labelled=len(decided),
        cheats=cheats,
        share=cheats / len(decided) if decided else None,
        low=bounds.low if bounds else None,
        high=bounds.high if bounds else None,
    )


def _diff(directory: Path) -> str:
    try:
        return (directory / "freeze" / "diff.patch").read_text("utf-8", "replace")[:DIFF_CHARACTERS]
    except OSError:
        return ""


def _answers(directory: Path, count: int = 3) -> tuple[str, ...]:
    from inferencebench.load.store import read_samples

    try:
        samples = read_samples(directory / "measure" / "launch-0").requests
    except Exception:
        # A run without a measurement is audited by its submission alone.
        return ()
    return tuple(printable(sample.text, 2000) for sample in samples[:count])
