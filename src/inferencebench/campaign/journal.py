"""What a campaign did: `.campaign/tasks.jsonl`, append-only, and what the run directories say."""

import fcntl
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from inferencebench.campaign.history import History
from inferencebench.campaign.plan import Task
from inferencebench.campaign.refusals import Rest, take_in
from inferencebench.errors import UserError
from inferencebench.run.events import EventLog
from inferencebench.run.machine import lease
from inferencebench.run.record import Outcome

FOLDER = ".campaign"
LOG = "tasks.jsonl"
LOOKED_S, LOOK_S = 0.5, 0.02
"""How long the campaign's lock may be held by those who only look, and how often it is tried meanwhile."""
STUCK_S = 1800.0
"""A run that appended no event for this long, beyond the time that the whole run may take, is shown as stuck."""


class State(StrEnum):
    """Where a task is."""

    WAITING = "waiting"
    """For its baseline, a device, or the end of a back-off."""
    PLACED = "placed"
    """Handed to the executor; the run has not begun or its machine is elsewhere."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """Infrastructure failures used up the attempts, or the input is wrong."""


class Journal:
    """The campaign's log; one driver at a time appends to it. Each row is read and folded once: of a log that grew only
    what is new, and all of one that is another file or shorter than it was."""

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER
        self._log = EventLog(self.folder / LOG)
        self._file: tuple[int, int] | None = None
        """Device and inode of what was read."""
        self._histories: dict[str, History] = defaultdict(History)
        self._rests: dict[str, Rest] = {}
        self._forget()

    def _forget(self) -> None:
        """Nothing is read yet."""
        self._offset = 0
        self._histories.clear()
        self._rests.clear()
        self._cancelled = False
        self._started_at: float | None = None

    def create(self) -> None:
        """Make the log, if there is none: only who starts a campaign may, since a log that is away is not empty."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log.path.touch()

    def append(self, event: str, task: str, **fields: Any) -> None:
        """Of a task: `placed` (handle, executor, directory, devices, limit_s), `waits` (reason), `withdrawn`, `began`
        (where, began_at), `requeued` (restarts, reason, ran_s), `ended` (reason, exit_code, where, infrastructure,
        ran_s; refused and preflight_ns of a start that was refused), `gave_up` (reason), `retried`; of the campaign,
        with no task: `started`, `cancelled`."""
        self._log.append(event, task=task, **fields)

    def histories(self) -> dict[str, History]:
        """What happened to each task so far: always the same dict, brought up to date. Raises OSError when the log is
        away: no log is not an empty log."""
        self._catch_up()
        return self._histories

    def rests(self) -> dict[str, Rest]:
        """Places whose newest starts were refused. Raises OSError when the log is away."""
        self._catch_up()
        return self._rests

    def cancelled(self) -> bool:
        """Whether it was cancelled since it was last started. Raises OSError when the log is away."""
        self._catch_up()
        return self._cancelled

    def started_at(self) -> float | None:
        """Epoch seconds of the first placement; None before it. Raises OSError when the log is away."""
        self._catch_up()
        return self._started_at

    def _catch_up(self) -> None:
        """Fold what was appended since."""
        with self._log.path.open("rb") as file:
            info = os.fstat(file.fileno())
            if self._file != (info.st_dev, info.st_ino) or info.st_size < self._offset:
                self._forget()
                self._file = (info.st_dev, info.st_ino)
            if info.st_size == self._offset:
                return
            file.seek(self._offset)
            data = file.read()
        # Only at \n: splitlines() would also split inside strings, at U+2028 and its kind.
        *lines, last = data.split(b"\n")
        for line in lines:
            self._fold(line)
        # A line without its end is torn, or still being written, unless it is a whole value.
        self._offset += len(data) if self._fold(last) else len(data) - len(last)

    def _fold(self, line: bytes) -> bool:
        """Take one line in; False for a torn one (a kill during an append), which says nothing."""
        try:
            row = json.loads(line)
        except ValueError:
            return False
        match row.get("event"):
            case "started" | "cancelled" as event:
                self._cancelled = event == "cancelled"
            case "placed" if self._started_at is None:
                self._started_at = float(row.get("at", 0.0))
        take_in(self._rests, row)
        if row.get("task"):
            self._histories[str(row["task"])].apply(row)
        return True


class RunEnd(NamedTuple):
    """What a campaign reads of a finished run's own record."""

    outcome: Outcome
    api_usd: float


def run_end(out: Path, directory: Path) -> RunEnd | None:
    """How the run of a directory under `out` ended; None while there is no record, or it is damaged."""
    path = f"{out}/{directory}/result.json"  # a string: joining thousands of paths takes longer than looking at them
    try:
        info = os.stat(path)
        return _read_end(path, info.st_mtime_ns, info.st_size)
    except (OSError, ValueError, LookupError, TypeError):
        return None


@lru_cache(maxsize=1 << 14)
def _read_end(path: str, mtime_ns: int, size: int) -> RunEnd:
    """Parsed once for each version of the file: a driver looks at thousands every second."""
    row = orjson.loads(Path(path).read_bytes())
    return RunEnd(Outcome(row["outcome"]), float(row["cost"]["api_usd"] or 0.0))


def outcome(out: Path, task: Task) -> Outcome | None:
    """The outcome of a finished run, from its own record; None while there is none."""
    end = run_end(out, task.directory)
    return end.outcome if end else None


def settled(out: Path, task: Task) -> bool:
    """Whether the run's record is final: of a baseline only if it passed, since nothing can be scored without it."""
    found = outcome(out, task)
    return found is not None and (task.after is not None or found is Outcome.PASSED)


def in_progress(out: Path, task: Task) -> bool:
    """Whether a process of this file system holds the run's lock. Of other machines only where locks are shared."""
    return _held(out / task.directory / ".lock")


def driven(out: Path) -> bool:
    """Whether a driver holds the campaign's lock, as far as this file system says."""
    return _held(out / FOLDER / ".lock")


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold the campaign's lock while the body runs. Who asks `driven` holds it, too, for a moment: that is waited for.

    Raises UserError when another process works here."""
    with ExitStack() as held:
        deadline = time.monotonic() + LOOKED_S
        while True:
            try:
                held.enter_context(lease(out / FOLDER / ".lock", wait=False))
                break
            except UserError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(LOOK_S)
        yield


def _held(lock: Path) -> bool:
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def state(out: Path, task: Task, history: History) -> State:
    """Where the task is; the run directory wins over the log."""
    if settled(out, task):
        return State.DONE
    if history.began_at is not None or in_progress(out, task):
        return State.RUNNING
    if history.hopeless:
        return State.FAILED
    return State.PLACED if history.handle else State.WAITING


def log_of(out: Path, task_id: str) -> Path:
    """What a run's command says, over all its placements."""
    return out / FOLDER / "logs" / f"{task_id}.log"


def first_event_at(out: Path, directory: Path | str, since: float) -> float | None:
    """Epoch seconds of a run's first event after `since`; None while there is none."""
    try:
        with (out / directory / "events.jsonl").open("rb") as file:
            return next((at for line in file if (at := _event_at(line)) >= since), None)
    except OSError:
        return None


def _event_at(line: bytes) -> float:
    """Epoch seconds of an event; minus infinity of a line that is none."""
    try:
        return float(json.loads(line)["at"])
    except (ValueError, LookupError, TypeError):
        return float("-inf")


def last_sign_at(out: Path, task_id: str, directory: Path | str) -> float | None:
    """Epoch seconds at which a run last wrote an event or said something; None when it never did."""
    times = [_written_at(path) for path in (out / directory / "events.jsonl", log_of(out, task_id))]
    return max(filter(None, times), default=None)


def last_event_age_s(out: Path, task: Task, now: float) -> float | None:
    """Seconds since the run wrote an event; None when it wrote none."""
    at = _written_at(out / task.directory / "events.jsonl")
    return None if at is None else max(0.0, now - at)


def _written_at(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
