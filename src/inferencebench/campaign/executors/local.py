"""`local`: runs as child processes of the driver, one per free device.

A device is free when its lock file can be taken; the kernel gives the locks of a dead process back, so nothing has to
be cleaned up after a crash. Children die with the driver (SIGTERM first, as on Ctrl-C): the same campaign continues
them. What runs longer than its order's limit is ended.
"""

import os
import signal
import subprocess
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from inferencebench.campaign.executors.batch import TIMEOUT
from inferencebench.campaign.executors.contract import Life, Order, Status
from inferencebench.campaign.executors.cores import lock, locks_folder, share, take
from inferencebench.campaign.executors.processes import identity, living
from inferencebench.run.machine import by_core, counted
from inferencebench.run.neighbours import device_name, foreign_users
from inferencebench.sandbox.contract import Probe
from inferencebench.sandbox.namespaces import die_with_parent

GRACE_S = 20.0
"""From SIGTERM to SIGKILL: a run ends its servers and mounts meanwhile."""
KILLED_S = 2.0
"""After SIGKILL, until it is said of a process that it runs on."""
LOOK_S = 0.05


class Slot(NamedTuple):
    """What one run gets to itself: its GPUs and cores, and the locks that say so."""

    gpus: tuple[int, ...]
    cores: tuple[int, ...]
    locks: tuple[int, ...]


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    slot: Slot
    begun: float
    """By the monotonic clock, seconds."""
    limit_s: float
    told_at: float | None = None
    """When it was told that its time is up."""


class LocalExecutor:
    """Runs on this machine. `gpus`: those that it may use; none for CPU runs alone. `slots`: CPU runs at a time; GPU
    runs go one per device. `needs`: the most GPUs that a run of the campaign takes; `mixed`: some take none."""

    name = "local"
    detached = False

    def __init__(
        self,
        slots: int | None = None,
        gpus: Sequence[int] = (),
        cores: Sequence[int] | None = None,
        needs: int = 0,
        *,
        mixed: bool = False,
    ) -> None:
        self._gpus, self._needs, self._mixed = tuple(gpus), needs, mixed
        self._cores = tuple(by_core(cores if cores is not None else os.sched_getaffinity(0)))
        self._slots = slots or 1
        self._sizes: dict[int, int] = {}
        """Cores of a run, by its devices."""
        self._waits: dict[str, str] = {}
        self._children: dict[str, _Child] = {}
        self._ends: dict[str, Status] = {}
        self._avoided: frozenset[str] = frozenset()

    def probe(self) -> Probe:
        """Says what it has, and whether that is enough: a run for more GPUs would wait for ever."""
        if self._needs > len(self._gpus):
            there = f"{len(self._gpus)} of them are visible here" if self._gpus else "none is visible here"
            remedy = "see `inferencebench doctor`, or leave out these suites"
            return Probe(False, f"the campaign has runs that need {counted(self._needs, 'GPU')}, and {there}", remedy)
        gpus = [f"GPUs {', '.join(map(str, self._gpus))}"] if self._gpus else []
        slots = [counted(self._slots, "CPU slot")] if self._mixed or not self._gpus else []
        return Probe(True, ", ".join([*gpus, *slots, f"{len(self._cores)} cores"]))

    def free(self) -> int:
        """Places that no child of ours holds; another process may hold one, which `place` finds out."""
        running = [child.slot.gpus for child in self._children.values() if child.process.poll() is None]
        free = sum(map(self._fit, set(self._gpus).difference(*running)))
        if self._mixed or not self._gpus:
            free += max(0, self._slots * self._fit(None) - running.count(()))
        return free

    def avoid(self, places: Collection[str]) -> None:
        """Leave out these GPUs, or all of this host."""
        self._avoided = frozenset(places)

    def place(self, orders: Sequence[Order]) -> dict[str, str]:
        """Start each order that finds a free slot; `waits` says what the others miss."""
        placed: dict[str, str] = {}
        self._waits.clear()
        for order in orders:
            slot = self._take(order.devices)
            if isinstance(slot, str):
                self._waits[order.task] = slot
                continue
            try:
                child = _Child(self._start(order, slot), slot, time.monotonic(), order.time_limit_s)
            except BaseException as error:
                _release(slot)
                if placed and isinstance(error, OSError):
                    break
                raise
            handle = identity(child.process.pid)
            self._children[handle] = child
            placed[order.task] = handle
        return placed

    def waits(self) -> dict[str, str]:
        """What the newest orders that found no place wait for."""
        return dict(self._waits)

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        """Children by their exit code, and what is beyond its limit is told to end; placements of an earlier driver by
        their process."""
        return {handle: self._status(handle) for handle in handles}

    def cancel(self, handles: Sequence[str]) -> None:
        """SIGTERM, and SIGKILL after the grace time, to the process; what it started ends with it."""
        for number, patience_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, KILLED_S)):
            for handle in handles:
                self._signal(handle, number)
            deadline = time.monotonic() + patience_s
            while any(map(self._lives, handles)) and time.monotonic() < deadline:
                time.sleep(LOOK_S)
        self.poll(handles)

    def close(self) -> None:
        """End all children; those that still ran ended with their driver, and of such nothing is known."""
        running = {handle: child.begun for handle, child in self._children.items() if self._lives(handle)}
        self.cancel(list(self._children))
        now, host = time.monotonic(), os.uname().nodename
        self._ends |= {handle: Status(Life.LOST, where=host, ran_s=now - begun) for handle, begun in running.items()}

    def _lives(self, handle: str) -> bool:
        child = self._children.get(handle)
        return child.process.poll() is None if child else living(handle) is not None

    def _signal(self, handle: str, number: int) -> None:
        """To what still lives of ours and of an earlier driver's."""
        if child := self._children.get(handle):
            child.process.send_signal(number)
        elif pid := living(handle):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _status(self, handle: str) -> Status:
        if handle in self._ends:
            return self._ends[handle]
        child = self._children.get(handle)
        if child is None:
            return Status(Life.RUNNING if living(handle) else Life.LOST, where=os.uname().nodename)
        code = child.process.poll()
        where = f"{os.uname().nodename} gpus={','.join(map(str, child.slot.gpus))} cores={len(child.slot.cores)}"
        if code is None:
            _keep_limit(child)
            return Status(Life.RUNNING, where=where)
        del self._children[handle]
        _release(child.slot)
        reason = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        if child.told_at is not None:
            code, reason = None, TIMEOUT
        self._ends[handle] = Status(Life.ENDED, code, reason, where, ran_s=time.monotonic() - child.begun)
        return self._ends[handle]

    def _fit(self, gpu: int | None) -> bool:
        """Whether neither this host nor its GPU of this number is to be left out."""
        host = os.uname().nodename
        return self._avoided.isdisjoint({host, f"{host} gpu {gpu}"})

    def _take(self, devices: int) -> Slot | str:
        """The wanted devices (a CPU slot) and cores of which no other run holds one, or what is waited for."""
        places = self._take_places(devices)
        missing = f"waits for {counted(max(devices, 1), 'free GPU' if devices else 'free CPU slot')}"
        if len(places) == max(devices, 1):
            size = self._size(devices)
            if block := take(self._cores, size, min(places) // max(devices, 1)):
                gpus = tuple(self._gpus[index] for index in places) if devices else ()
                return Slot(gpus, block.cpus, (*places.values(), *block.locks))
            missing = f"waits for {counted(size, 'core')} that no other run has"
        for fd in places.values():
            os.close(fd)
        return missing

    def _size(self, devices: int) -> int:
        """Cores of a run of so many GPUs, or of a CPU run."""
        if devices not in self._sizes:
            count = max(len(self._gpus), devices) if devices else self._slots
            self._sizes[devices] = share(self._cores, count, devices=max(devices, 1))
        return self._sizes[devices]

    def _take_places(self, devices: int) -> dict[int, int]:
        """Locks of as many free GPUs (CPU slots) as there are, up to those wanted, by their place in the list."""
        slots = [f"{os.uname().nodename}-cpu-{n}" for n in range(self._slots)]
        names = [f"slot-{device_name(number)}" for number in self._gpus] if devices else slots
        found: dict[int, int] = {}
        for index, name in enumerate(names):
            if len(found) == max(devices, 1):
                break
            gpu = self._gpus[index] if devices else None
            if not self._fit(gpu) or (gpu is not None and foreign_users(gpu)):
                continue
            if (fd := lock(locks_folder() / f"{name}.lock")) is not None:
                found[index] = fd
        return found

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


def _release(slot: Slot) -> None:
    for fd in slot.locks:
        os.close(fd)


def _keep_limit(child: _Child) -> None:
    """Tell a child whose time is up to end, and kill it when the grace time is over, too."""
    now = time.monotonic()
    if child.told_at is None and now >= child.begun + child.limit_s:
        child.told_at = now
        child.process.terminate()
    elif child.told_at is not None and now >= child.told_at + GRACE_S:
        child.process.kill()
