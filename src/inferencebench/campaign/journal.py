"""What a campaign did: `.campaign/tasks.jsonl`, append-only, and what the run directories say."""

import fcntl
import os
from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from inferencebench.campaign.plan import Task
from inferencebench.campaign.refusals import Rest, rests
from inferencebench.files import read_jsonl
from inferencebench.run.events import EventLog
from inferencebench.run.record import Outcome

FOLDER = ".campaign"
LOG = "tasks.jsonl"
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


@dataclass
class History:
    """What the log says of one task."""

    placed: int = 0
    """How often it was placed, restarts by the scheduler included, each an attempt; refused and withdrawn ones not."""
    handle: str | None = None
    """The executor's name of the newest placement; None when that ended."""
    executor: str = ""
    """Name of what it was handed to."""
    directory: str = ""
    """The run's, under the campaign directory: the campaign file may no longer have the run."""
    devices: int = 0
    """GPUs of that placement; 0: a CPU run."""
    limit_s: float = float("inf")
    """Its time limit."""
    waits: str = ""
    """Why that placement has not begun, where that is not just its turn."""
    withdrawn: bool = False
    """Whether that placement was taken back before it began, since a bound was reached."""
    began_at: float | None = None
    """Epoch seconds at which that placement was first seen to run; None: it waits, or there is none."""
    where: str = ""
    """Host and devices of that placement, once it runs."""
    restarts: int = 0
    """How often the scheduler itself restarted that placement."""
    ran_s: float = 0.0
    """Seconds for which all its placements that ended had their devices."""
    ended_at: float = 0.0
    """Epoch seconds of the newest end."""
    failures: list[str] = field(default_factory=list)
    """Reasons of infrastructure failures, oldest first."""
    refusals: list[str] = field(default_factory=list)
    """Reasons of its newest starts, oldest first, if its preflight refused them."""
    preflight_ns: int = 0
    """The time of the preflight's file at the newest of them."""
    hopeless: str | None = None
    """Why it is not tried again."""


class Journal:
    """The campaign's log; one driver at a time appends to it."""

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER
        self._log = EventLog(self.folder / LOG)

    def create(self) -> None:
        """Make the log, if there is none: only who starts a campaign may, since a log that is away is not empty."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log.path.touch()

    def append(self, event: str, task: str, **fields: Any) -> None:
        """Of a task: `placed` (handle, executor, directory, devices, limit_s), `waits` (reason), `withdrawn`, `began`
        (where), `requeued` (restarts, reason, ran_s), `ended` (reason, exit_code, where, infrastructure, ran_s; refused
        and preflight_ns of a start that was refused), `gave_up` (reason), `retried`; of the campaign, with no task:
        `started`, `cancelled`."""
        self._log.append(event, task=task, **fields)

    def histories(self) -> dict[str, History]:
        """What happened to each task so far. Raises OSError when the log is away: no log is not an empty log."""
        found: dict[str, History] = defaultdict(History)
        for row in read_jsonl(self._log.path):
            if not row.get("task"):
                continue
            history = found[str(row["task"])]
            match row.get("event"):
                case "placed":
                    history.placed += 1
                    history.handle, history.executor = str(row.get("handle")), str(row.get("executor", ""))
                    history.began_at, history.where, history.waits, history.restarts = None, "", "", 0
                    history.withdrawn = False
                    history.directory, history.devices = str(row.get("directory", "")), int(row.get("devices", 0))
                    history.limit_s = float(row.get("limit_s", "inf"))
                case "waits":
                    history.waits = str(row.get("reason"))
                case "withdrawn":
                    history.withdrawn = True
                case "began":
                    history.began_at = history.began_at or float(row.get("at", 0.0))
                    history.where, history.waits = str(row.get("where", "")), ""
                case "requeued":
                    restarts = int(row.get("restarts", 0))
                    history.placed += restarts - history.restarts
                    history.restarts, history.began_at = restarts, None
                    history.ran_s += float(row.get("ran_s") or 0.0)
                    history.failures.append(str(row.get("reason")))
                case "ended":
                    history.handle, history.began_at, history.waits = None, None, ""
                    history.ran_s += float(row.get("ran_s") or 0.0)
                    history.ended_at = float(row.get("at", 0.0))
                    if history.withdrawn:
                        history.placed -= 1
                    elif row.get("refused"):
                        history.placed -= 1
                        history.refusals.append(str(row.get("reason")))
                        history.preflight_ns = int(row.get("preflight_ns") or 0)
                    else:
                        history.refusals.clear()
                    if row.get("infrastructure"):
                        history.failures.append(str(row.get("reason")))
                case "gave_up":
                    history.hopeless = str(row.get("reason"))
                case "retried":
                    history.hopeless = None
                    history.failures.clear()
                    history.refusals.clear()
        return found

    def rests(self) -> dict[str, Rest]:
        """Places whose newest starts were refused. Raises OSError when the log is away."""
        return rests(read_jsonl(self._log.path))

    def cancelled(self) -> bool:
        """Whether it was cancelled since it was last started. Raises OSError when the log is away."""
        events = [row.get("event") for row in read_jsonl(self._log.path)]
        return next((event == "cancelled" for event in reversed(events) if event in ("started", "cancelled")), False)

    def started_at(self) -> float | None:
        """Epoch seconds of the first placement; None before it."""
        return next((float(row["at"]) for row in self._log.read() if row.get("event") == "placed"), None)


class RunEnd(NamedTuple):
    """What a campaign reads of a finished run's own record."""

    outcome: Outcome
    api_usd: float


def run_end(out: Path, directory: Path) -> RunEnd | None:
    """How the run of a directory under `out` ended; None while there is no record, or it is damaged."""
    path = out / directory / "result.json"
    try:
        info = path.stat()
        return _read_end(path, info.st_mtime_ns, info.st_size)
    except (OSError, ValueError, LookupError, TypeError):
        return None


@lru_cache(maxsize=1 << 14)
def _read_end(path: Path, mtime_ns: int, size: int) -> RunEnd:
    """Parsed once for each version of the file: a driver looks at thousands every second."""
    row = orjson.loads(path.read_bytes())
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
