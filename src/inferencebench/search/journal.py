"""The journal of a search: one JSON line per event, appended and synced, so that a killed search goes on."""

import os
from pathlib import Path

from pydantic import ValidationError

from inferencebench.errors import UserError
from inferencebench.files import canonical_json
from inferencebench.search.trials import Candidate, Kind, Reading, Status
from inferencebench.suites.model import Record

PATIENCE = 4.0
"""Times its cap, after which a load is given up."""


class Entry(Record):
    """One trial: written when it starts (no reading) and when it ends."""

    number: int
    kind: Kind
    candidate: Candidate
    at_s: float
    reading: Reading | None = None
    pruned: tuple[str, ...] = ()
    """Sources of the rules that the proposal broke before it was changed."""


class Journal:
    """Reads what is there, appends what happens. `head` says what the search is: another head is another search."""

    def __init__(self, path: Path, head: str) -> None:
        self._path = path
        self.entries: list[Entry] = []
        """Finished trials, oldest first."""
        self.pending: Entry | None = None
        """A trial that was running when the search was killed."""
        self.begun = 0
        """How often in a row that trial was begun without an end."""
        self.spent_s = 0.0
        """Budget that earlier sessions used, as far as they came to write it down."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or not self._read(head):
            self._write(canonical_json({"head": head}))

    def _read(self, head: str) -> bool:
        """Read what is there; False where a kill left not even the head."""
        data = self._path.read_bytes()
        whole, _, torn = data.rpartition(b"\n")
        if torn:
            with self._path.open("r+b") as file:
                file.truncate(len(whole) + 1 if whole else 0)
        lines = whole.splitlines()
        if not lines:
            return False
        if lines[0] != canonical_json({"head": head}):
            raise UserError(
                f"{self._path}: belongs to another search (engine, model, hardware or load differ); "
                "move it away to begin anew, or use another --out"
            )
        for number, line in enumerate(lines[1:], 2):
            try:
                entry = Entry.model_validate_json(line)
            except ValidationError:
                raise UserError(f"{self._path}, line {number}: not an entry of a journal") from None
            self.spent_s = max(self.spent_s, entry.at_s)
            self._count(entry)
        return True

    def _count(self, entry: Entry) -> None:
        if entry.reading is not None:
            self.entries.append(entry)
            self.pending, self.begun = None, 0
            return
        again = self.pending is not None and self.pending.candidate == entry.candidate
        self.pending, self.begun = entry, self.begun + 1 if again else 1

    def patience_s(self, cap_s: float, questions: int) -> float:
        """When a load with this cap, or so many questions, are given up. Half as patient with what is known to be slow:
        twice the longest load or gate that worked, and the time of the questions at the slowest pace of any engine."""
        worked = [e.reading for e in self.entries if e.reading is not None and e.reading.status is Status.OK]
        longest_s = max((max(r.measure_s, r.gate_s) for r in worked), default=0.0)
        pace_s = max((r.gate_s / r.gate.total for r in worked if r.gate is not None and r.gate.total), default=0.0)
        return max(PATIENCE * cap_s, PATIENCE / 2 * max(longest_s, pace_s * questions))

    def add(self, entry: Entry) -> None:
        """Append; a finished trial is also kept."""
        self._write(canonical_json(entry))
        self._count(entry)

    def _write(self, line: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())


def spent_s(path: Path) -> float:
    """Budget that the journal's search used in earlier sessions; 0 where there is no journal."""
    if not path.exists():
        return 0.0
    found = 0.0
    for line in path.read_bytes().splitlines()[1:]:
        try:
            found = max(found, Entry.model_validate_json(line).at_s)
        except ValidationError:
            break
    return found
