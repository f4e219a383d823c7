"""`local`: runs as child processes of the driver, one per free device.

A device is free when its lock file can be taken; the kernel gives the locks of a dead process back, so nothing has to
be cleaned up after a crash. Children die with the driver (SIGTERM first, as on Ctrl-C): the same campaign continues
them.
"""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from inferencebench.campaign.executors.contract import Life, Order, Status
from inferencebench.paths import cache_dir
from inferencebench.run.machine import by_core
from inferencebench.run.neighbours import device_name, foreign_users
from inferencebench.sandbox.contract import Probe
from inferencebench.sandbox.namespaces import die_with_parent

GRACE_S = 20.0
"""From SIGTERM to SIGKILL: a run ends its servers and mounts meanwhile."""


class Slot(NamedTuple):
    """What one run gets to itself: its GPUs and cores, and the locks that say so."""

    gpus: tuple[int, ...]
    cores: tuple[int, ...]
    locks: tuple[int, ...]


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    slot: Slot


class LocalExecutor:
    """Runs on this machine. `slots`: CPU runs at a time; GPU runs go one per device."""

    name = "local"
    detached = False

    def __init__(self, slots: int | None = None, gpus: Sequence[int] = (), cores: Sequence[int] | None = None) -> None:
        self._gpus = tuple(gpus)
        self._cores = tuple(by_core(cores if cores is not None else os.sched_getaffinity(0)))
        self._slots = slots or 1
        self._locks = cache_dir() / "leases"
        self._children: dict[str, _Child] = {}

    def probe(self) -> Probe:
        """Always works; says what it has."""
        gpus = f"GPUs {', '.join(map(str, self._gpus))}" if self._gpus else f"{self._slots} CPU slots"
        return Probe(True, f"{gpus}, {len(self._cores)} cores")

    def free(self) -> int:
        """Places that no child of ours holds; another process may hold one, which `place` finds out."""
        return (len(self._gpus) or self._slots) - len(self._running())

    def place(self, orders: Sequence[Order]) -> dict[str, str]:
        """Start each order that finds a free slot."""
        placed: dict[str, str] = {}
        for order in orders:
            slot = self._take(order.devices)
            if slot is None:
                continue
            try:
                child = _Child(self._start(order, slot), slot)
            except BaseException as error:
                _release(slot)
                if placed and isinstance(error, OSError):
                    break
                raise
            handle = f"{child.process.pid}@{_started(child.process.pid)}"
            self._children[handle] = child
            placed[order.task] = handle
        return placed

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        """Children by their exit code; placements of an earlier driver by pid and start time."""
        return {handle: self._status(handle) for handle in handles}

    def cancel(self, handles: Sequence[str]) -> None:
        """SIGTERM, and SIGKILL after the grace time, to the process and what it started."""
        processes = [p for p in map(_process, handles) if p is not None]
        for process in processes:
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except psutil.TimeoutExpired:
                _signal(process, signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.poll(handles)

    def close(self) -> None:
        """End all children."""
        self.cancel(list(self._children))

    def _running(self) -> list[_Child]:
        return [child for child in self._children.values() if child.process.poll() is None]

    def _status(self, handle: str) -> Status:
        child = self._children.get(handle)
        if child is None:
            return Status(Life.RUNNING if _process(handle) else Life.LOST, where=os.uname().nodename)
        code = child.process.poll()
        where = f"{os.uname().nodename} gpus={','.join(map(str, child.slot.gpus))} cores={len(child.slot.cores)}"
        if code is None:
            return Status(Life.RUNNING, where=where)
        del self._children[handle]
        _release(child.slot)
        reason = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return Status(Life.ENDED, code, reason, where)

    def _take(self, devices: int) -> Slot | None:
        """Locks of the wanted devices (of one CPU slot), or None when they are not to be had now."""
        host = os.uname().nodename
        slots = [f"{host}-cpu-{n}" for n in range(self._slots)]
        names = [f"slot-{device_name(number)}" for number in self._gpus] if devices else slots
        wanted = max(devices, 1)
        found: list[int] = []
        locks: list[int] = []
        for index, name in enumerate(names):
            if len(found) == wanted:
                break
            if devices and foreign_users(self._gpus[index]):
                continue
            if (lock := _lock(self._locks / f"{name}.lock")) is not None:
                found.append(index)
                locks.append(lock)
        if len(found) < wanted:
            for lock in locks:
                os.close(lock)
            return None
        share = max(1, len(self._cores) // max(len(names) // wanted, 1))
        first = (found[0] // wanted * share) % max(len(self._cores) - share + 1, 1)
        gpus = tuple(self._gpus[index] for index in found) if devices else ()
        return Slot(gpus, self._cores[first : first + share], tuple(locks))

    def _start(self, order: Order, slot: Slot) -> subprocess.Popen[bytes]:
        order.log.parent.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, **order.env}
        if order.devices:
            env["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, slot.gpus))
        parent = os.getpid()

        def prepare() -> None:
            die_with_parent()
            if os.getppid() != parent:
                os._exit(1)
            os.sched_setaffinity(0, slot.cores)

        with order.log.open("ab") as log:
            return subprocess.Popen(
                order.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                preexec_fn=prepare,
                start_new_session=True,
            )


def _lock(path: Path) -> int | None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _release(slot: Slot) -> None:
    for lock in slot.locks:
        os.close(lock)


def _started(pid: int) -> str:
    """A process's start time: with the pid it names a process for good."""
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return "gone"


def _process(handle: str) -> psutil.Process | None:
    """The living process of a handle; None when it is gone, or its pid is another's now."""
    pid, _, started = handle.partition("@")
    if not pid.isdigit() or _started(int(pid)) != started:
        return None
    process = psutil.Process(int(pid))
    return None if process.status() == psutil.STATUS_ZOMBIE else process


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
