"""The journal of a search: one JSON line per event, appended and synced, so that a killed search goes on."""

import os
from pathlib import Path

from pydantic import ValidationError

from inferencebench.errors import UserError
from inferencebench.files import canonical_json
from inferencebench.search.trials import Candidate, Kind, Reading
from inferencebench.suites.model import Record


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
        self.spent_s = 0.0
        """Budget that earlier sessions used, as far as they came to write it down."""
        if path.exists():
            self._read(head)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(canonical_json({"head": head}))

    def _read(self, head: str) -> None:
        data = self._path.read_bytes()
        whole, _, torn = data.rpartition(b"\n")
        if torn:
            with self._path.open("r+b") as file:
                file.truncate(len(whole) + 1 if whole else 0)
        lines = whole.splitlines()
        if not lines or lines[0] != canonical_json({"head": head}):
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
            if entry.reading is None:
                self.pending = entry
            else:
                self.pending = None
                self.entries.append(entry)

    def add(self, entry: Entry) -> None:
        """Append; a finished trial is also kept."""
        self._write(canonical_json(entry))
        if entry.reading is not None:
            self.entries.append(entry)
            self.pending = None

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
