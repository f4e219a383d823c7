"""Following the log of a CLI while it is written, and turning its events into a trajectory with times."""

import json
from pathlib import Path

from pydantic import ValidationError

from inferencebench.agents.adapters.contract import Parse
from inferencebench.agents.trajectory import Step, StepKind
from inferencebench.files import canonical_json

MAX_LINE_BYTES = 8 << 20
"""A longer line is no event."""
MAX_STEPS = 100_000
BLOCK = 1 << 20


class EventReader:
    """Reads what one invocation printed since the last look. Never raises on what a CLI prints."""

    def __init__(self, log: Path, trajectory: Path, parse: Parse, invocation: int) -> None:
        self._log, self._trajectory, self._parse, self._invocation = log, trajectory, parse, invocation
        self._offset = 0
        self._buffer = b""
        self._steps = 0
        self.ended_well = False
        """Whether the newest terminal event told of success."""

    def add(self, found: Step, at_s: float) -> None:
        """Append a step, stamped with the time and the invocation."""
        if self._steps < MAX_STEPS:
            self._steps += 1
            stamped = found.model_copy(update={"at_s": round(at_s, 3), "invocation": self._invocation})
            with self._trajectory.open("ab") as file:
                file.write(canonical_json(stamped) + b"\n")

    def read(self, at_s: float, *, last: bool = False) -> None:
        """Read on; `at_s` is the time in the session, seconds. `last`: a line without an end is whole too."""
        if not self._log.exists():
            return
        with self._log.open("rb") as file:
            file.seek(self._offset)
            while data := file.read(BLOCK):
                self._offset += len(data)
                *lines, self._buffer = (self._buffer + data).split(b"\n")
                for line in lines:
                    self._line(line, at_s)
                if len(self._buffer) > MAX_LINE_BYTES:
                    self._buffer = b""
        if last:
            self._line(self._buffer, at_s)
            self._buffer = b""

    def _line(self, line: bytes, at_s: float) -> None:
        try:
            event = json.loads(line)
            steps = self._parse(event) if isinstance(event, dict) else []
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError, ValidationError):
            return
        for found in steps:
            if found.kind is StepKind.END:
                self.ended_well = bool(found.ok)
            self.add(found, at_s)
