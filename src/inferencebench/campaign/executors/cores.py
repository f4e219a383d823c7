"""Cores that one run has for itself, beside others on its machine: blocks of one shape, taken by lock files.

The lock files lie in the cache and name the host, so that the runs of every executor share one set. The kernel gives
the locks of a dead process back.
"""

import fcntl
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from inferencebench.paths import cache_dir
from inferencebench.run.machine import TOPOLOGY, Core, by_core, core_of, shape


class Block(NamedTuple):
    """Logical CPUs that are held, and the descriptors of their locks."""

    cpus: tuple[int, ...]
    locks: tuple[int, ...]

    def release(self) -> None:
        """Give them back."""
        for lock in self.locks:
            os.close(lock)


def locks_folder() -> Path:
    """Where the lock files of devices and cores lie."""
    return cache_dir() / "leases"


def lock(path: Path) -> int | None:
    """The descriptor of a lock file that is ours now; None while another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def take(cpus: Iterable[int], size: int, first: int = 0) -> Block | None:
    """A block of `size` of these CPUs (of all, where they are fewer) that no run holds, from the block numbered `first`
    on; None while there is none."""
    available = tuple(cpus)
    found = blocks(available, min(size, len(available)))
    held = (_hold(block) for block in [*found[first:], *found[:first]])
    return next((block for block in held if block), None)


def share(cpus: Sequence[int], count: int, topology: Path = TOPOLOGY, *, devices: int = 1) -> int:
    """CPUs of a run of `devices` where `count` devices share these: as many for each device as there are `count` equal
    blocks of; fewer, where blocks for all the runs of so many devices would not be equal."""
    one = _largest(cpus, len(cpus) // count, count, topology)
    return one if devices == 1 else _largest(cpus, devices * one, max(1, count // devices), topology)


def _largest(cpus: Sequence[int], most: int, count: int, topology: Path) -> int:
    """The size, `most` or less, of which there are `count` blocks."""
    return next((size for size in range(most, 1, -1) if len(blocks(cpus, size, topology)) >= count), 1)


def blocks(cpus: Iterable[int], size: int, topology: Path = TOPOLOGY) -> list[tuple[int, ...]]:
    """Disjoint sets of `size` CPUs that measure alike: on one socket each where one is large enough, and on physical
    cores that no other block has, unless one core has room for several."""
    sockets: dict[int, list[list[int]]] = defaultdict(list)
    for core, threads in _threads(cpus, topology).items():
        sockets[core.socket].append(threads)
    groups = list(sockets.values())
    if not any(sum(map(len, group)) >= size for group in groups):
        groups = [[threads for group in groups for threads in group]]
    found = [piece for group in groups for piece in _pieces(group, size)]
    shapes = [shape(piece, topology) for piece in found]
    usual = Counter(shapes).most_common(1)
    return [piece for piece, its in zip(found, shapes, strict=True) if its == usual[0][0]]


def _threads(cpus: Iterable[int], topology: Path) -> dict[Core, list[int]]:
    """The logical CPUs of each physical core, socket by socket."""
    found = defaultdict(list)
    for cpu in by_core(cpus, topology):
        found[core_of(cpu, topology)].append(cpu)
    return found


def _pieces(cores: Iterable[Sequence[int]], size: int) -> list[tuple[int, ...]]:
    """Sets of `size` CPUs from the front; what is left of the core that fills one is nobody's."""
    found: list[tuple[int, ...]] = []
    taken: list[int] = []
    for core in cores:
        taken += core
        if len(taken) >= size:
            room = max(1, len(core) // size)
            found += [tuple(taken[n * size : (n + 1) * size]) for n in range(room)]
            taken = []
    return found


def _hold(cpus: tuple[int, ...]) -> Block | None:
    """All of these CPUs, or none of them."""
    locks: list[int] = []
    for cpu in cpus:
        if (fd := lock(locks_folder() / f"core-{os.uname().nodename}-{cpu}.lock")) is None:
            Block(cpus, tuple(locks)).release()
            return None
        locks.append(fd)
    return Block(cpus, tuple(locks))
