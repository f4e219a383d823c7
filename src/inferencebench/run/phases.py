"""Resumable phases: each reads files, writes files, and leaves a stamp when it is done.

A phase is skipped when its stamp names the same inputs and its outputs still have the stamped hashes. A phase that was
killed has no stamp: its folder is emptied and it starts again. So a kill costs at most the phase in flight.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inferencebench.errors import InfrastructureError
from inferencebench.files import sha256_file, sha256_json, write_json
from inferencebench.run.events import EventLog
from inferencebench.sandbox.removal import remove_tree
from inferencebench.suites.model import Record

STAMP = "phase.json"


class Stamp(Record):
    """What a finished phase read and wrote."""

    phase: str
    inputs_sha256: str
    outputs: dict[str, str]
    """File under the phase's folder → sha256."""
    seconds: float


class Phase:
    """One phase of a run directory."""

    def __init__(self, run_dir: Path, name: str, inputs: Any, events: EventLog) -> None:
        self.name = name
        self.folder = run_dir / name
        self.inputs_sha256 = sha256_json(inputs)
        self._events = events

    @property
    def stamp(self) -> Stamp | None:
        """The stamp, if the phase is done, its inputs are the same and its outputs are intact."""
        try:
            stamp = Stamp.model_validate_json((self.folder / STAMP).read_bytes())
        except (OSError, ValidationError):
            return None
        intact = all(
            (self.folder / name).is_file() and sha256_file(self.folder / name) == digest
            for name, digest in stamp.outputs.items()
        )
        return stamp if intact and stamp.inputs_sha256 == self.inputs_sha256 else None

    @contextmanager
    def begin(self, *, keep: bool = False) -> Iterator[list[Path]]:
        """Empty the folder (unless `keep`), run the body, stamp the files which it adds to the yielded list.

        Raises OSError when the run directory is away, and InfrastructureError when it was meanwhile: a shared directory
        that comes back is the same one, and what was written below its empty mount point is lost."""
        if not keep:
            remove_tree(self.folder)
        self.folder.mkdir(exist_ok=True)
        begun = identity(self.folder)
        self._events.append("phase_started", phase=self.name)
        started = time.monotonic()
        outputs: list[Path] = []
        yield outputs
        if identity(self.folder) != begun:
            raise InfrastructureError(f"{self.folder}: the directory went away while the phase worked")
        seconds = round(time.monotonic() - started, 3)
        hashes = {str(path.relative_to(self.folder)): sha256_file(path) for path in sorted(outputs)}
        stamp = Stamp(phase=self.name, inputs_sha256=self.inputs_sha256, outputs=hashes, seconds=seconds)
        write_json(self.folder / STAMP, stamp)
        self._events.append("phase_finished", phase=self.name, seconds=seconds)


def identity(folder: Path) -> tuple[int, int] | None:
    """Which directory a path leads to; None where it leads to none."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def finished_seconds(run_dir: Path, phase: str) -> float:
    """Duration of a finished phase.

    Raises InfrastructureError when the phase has no stamp."""
    try:
        return Stamp.model_validate_json((run_dir / phase / STAMP).read_bytes()).seconds
    except (OSError, ValidationError) as error:
        raise InfrastructureError(f"{run_dir / phase / STAMP}: no stamp of a finished phase ({error})") from None
