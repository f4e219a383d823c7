"""Recorded decisions: what a person (or a judge) said about the evidence of one run.

`decisions.jsonl` in the run directory is only ever appended to. A decision names the hash of the evidence that it was
about; when the evidence changes (another measurement, a new check, another calibration), it no longer counts. The log
of events names every decision, so that one that was taken out is missed.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from inferencebench.errors import UserError
from inferencebench.files import canonical_json, read_jsonl, sha256_json
from inferencebench.gates.integrity.model import IntegrityResult
from inferencebench.run.damage import check_named, name_in_log
from inferencebench.serve.text import printable
from inferencebench.suites.model import Record

FILE = "decisions.jsonl"
EVENT = "decision_recorded"
MAX_CHARACTERS = 2000


class RecordedDecision(Record):
    """One decision on the evidence of a run."""

    at: str
    """ISO 8601, UTC."""
    by: str
    """Who decided."""
    verdict: Literal["pass", "fail"]
    reason: str
    evidence_sha256: str


def evidence_sha256(integrity: IntegrityResult, submission_sha256: str) -> str:
    """Names the evidence that a decision is about: every check with its numbers, and the submission."""
    return sha256_json({"integrity": integrity.model_dump(mode="json"), "submission": submission_sha256})


def record(directory: Path, by: str, verdict: Literal["pass", "fail"], reason: str, evidence: str) -> RecordedDecision:
    """Append a decision to the run directory's log.

    Raises UserError without a reason or a name: a decision has to be answered for."""
    by, reason = (printable(" ".join(text.split()), MAX_CHARACTERS) for text in (by, reason))
    if not by or not reason:
        raise UserError(f"{directory}: a decision needs --reason, and --by where the user has no name")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    decision = RecordedDecision(at=now, by=by, verdict=verdict, reason=reason, evidence_sha256=evidence)
    fd = os.open(directory / FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        size = os.fstat(fd).st_size
        torn = bool(size) and os.pread(fd, 1, size - 1) != b"\n"
        os.write(fd, b"\n" * torn + canonical_json(decision) + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    name_in_log(directory, EVENT, decision)
    return decision


def read(directory: Path) -> list[RecordedDecision]:
    """All decisions on a run, oldest first; lines that are none (torn, or of another version) do not count."""
    found = []
    for row in _rows(directory):
        try:
            found.append(RecordedDecision.model_validate(row))
        except ValidationError:
            continue
    return found


def _rows(directory: Path) -> list[Any]:
    path = directory / FILE
    return read_jsonl(path) if path.exists() else []


def current(directory: Path, integrity: IntegrityResult | None, submission_sha256: str) -> RecordedDecision | None:
    """The newest decision on exactly this evidence.

    Raises UserError when a decision that the log of events names is gone."""
    if integrity is None:
        return None
    check_named(directory, EVENT, directory / FILE, _rows(directory))
    wanted = evidence_sha256(integrity, submission_sha256)
    return next((d for d in reversed(read(directory)) if d.evidence_sha256 == wanted), None)
