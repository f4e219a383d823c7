"""Asking the judges about a finished run, and keeping what they said beside its evidence."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inferencebench.files import read_jsonl, sha256_json
from inferencebench.gates.integrity.model import IntegrityResult
from inferencebench.gates.judge.exhibits import exhibits
from inferencebench.gates.judge.model import Panel
from inferencebench.gates.judge.panel import convene
from inferencebench.gates.judge.providers import available
from inferencebench.run.damage import check_named, name_in_log
from inferencebench.run.events import EventLog

FILE = Path("integrity") / "judges.jsonl"
EVENT = "judges_asked"


def ask(directory: Path, integrity: IntegrityResult | None) -> Panel:
    """Ask every family whose key is set, and append what they say to the run's record."""
    panel = convene(available(), exhibits(directory, integrity))
    if panel.judges:
        (directory / FILE).parent.mkdir(parents=True, exist_ok=True)
        EventLog(directory / FILE).append("panel", panel=panel.model_dump(mode="json"))
        name_in_log(directory, EVENT, panel)
    return panel


def newest(directory: Path, integrity: IntegrityResult) -> Panel | None:
    """The newest word of the judges on exactly this evidence; None when there is none.

    Raises UserError when an answer of theirs that the log of events names is gone."""
    said = _panels(directory / FILE)
    check_named(directory, EVENT, directory / FILE, said)
    if not said:
        return None
    wanted = sha256_json([list(exhibit) for exhibit in exhibits(directory, integrity)])
    for row in reversed(said):
        try:
            panel = Panel.model_validate(row)
        except ValidationError:
            continue
        if panel.evidence_sha256 == wanted:
            return panel
    return None


def _panels(path: Path) -> list[Any]:
    """What was appended there, oldest first."""
    rows = read_jsonl(path) if path.exists() else []
    return [row["panel"] for row in rows if isinstance(row, dict) and "panel" in row]
