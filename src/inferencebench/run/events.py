"""The append-only event log of a run: what happened when, also across kills and resumes."""

import errno
import os
import time
from pathlib import Path
from typing import Any

from inferencebench.files import canonical_json, read_jsonl


class EventLog:
    """Appends one JSON line per event with a single `write`, so that a kill tears at most the last line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: str, **fields: Any) -> None:
        """Record `event` with the wall-clock time (`at`, seconds since the epoch) and the writer's pid.

        Raises OSError when it could not be written whole; a reader drops what was."""
        line = canonical_json({"at": round(time.time(), 3), "pid": os.getpid(), "event": event, **fields}) + b"\n"
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                line = b"\n" + line
            if os.write(fd, line) < len(line):  # a disk that is almost full takes a part
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        finally:
            os.close(fd)

    def read(self) -> list[dict[str, Any]]:
        """All whole events, oldest first."""
        return read_jsonl(self.path) if self.path.exists() else []
