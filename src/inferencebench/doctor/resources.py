"""Cores, memory, disk, clocks and noise of this machine."""

import ctypes
import math
import os
import platform
import shutil
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import psutil

from inferencebench.doctor.model import Finding, Status

AREA = "machine"
MIN_MEMORY_GIB = 3.0
"""The float32 checkpoint of the laptop suites with its server, the client and the harness."""
MIN_DISK_GIB = 2.0
"""Wheel, checkpoint and one converted copy."""
MAX_RESOLUTION_S = 1e-6
RELEASE_YEAR = 2026
"""A wall clock before it is wrong: certificates fail and records get wrong dates."""
NOISE_SECONDS = 0.5
NOISE_STEP_S = 1e-3
MAX_NOISE = 1.5
"""Largest p99/median of equal pieces of work on a machine quiet enough to measure on."""
MAX_LOAD_PER_CORE = 0.5
TIME_ERROR = 5
"""Return value of adjtimex(2) for a clock that nothing disciplines."""


def resources(cache: Path) -> Iterator[Finding]:
    """All findings about the bare machine. Takes a second."""
    yield cores()
    yield memory()
    yield disk(cache)
    yield monotonic_clock()
    yield wall_clock()
    yield load()
    yield noise()


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores() -> Finding:
    """One core for the server and one for the client."""
    usable, online = usable_cores(), os.cpu_count() or 1
    detail = f"{usable} of {online} usable"
    if usable >= 2:
        return Finding(area=AREA, name="cores", status=Status.OK, detail=detail)
    remedy = "use a machine with 2 cores, or allow more (taskset, container limits): server and client would share one"
    return Finding(area=AREA, name="cores", status=Status.WARN, detail=detail, remedy=remedy)


def memory() -> Finding:
    """Free main memory, within the container's limit."""
    available = min(psutil.virtual_memory().available / 2**30, _cgroup_memory_gib())
    enough = available >= MIN_MEMORY_GIB
    return Finding(
        area=AREA,
        name="memory",
        status=Status.OK if enough else Status.MISSING,
        detail=f"{available:.1f} GiB available, {psutil.virtual_memory().total / 2**30:.1f} GiB installed",
        remedy="" if enough else f"free memory: the laptop suites need {MIN_MEMORY_GIB:g} GiB",
    )


def _cgroup_memory_gib() -> float:
    """This container's memory limit; infinite without one."""
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return int(Path(name).read_text()) / 2**30
        except (OSError, ValueError):
            continue
    return math.inf


def disk(cache: Path) -> Finding:
    """Free space where checkpoints are kept."""
    place = next(p for p in (cache, *cache.absolute().parents) if p.exists())
    free = shutil.disk_usage(place).free / 2**30
    writable = os.access(place, os.W_OK)
    remedy = ""
    if not writable or free < MIN_DISK_GIB:
        remedy = f"set INFERENCEBENCH_CACHE to a writable directory with {MIN_DISK_GIB:g} GiB free"
    return Finding(
        area=AREA,
        name="disk",
        status=Status.MISSING if remedy else Status.OK,
        detail=f"{free:.1f} GiB free for the cache in {cache}" + ("" if writable else ", not writable"),
        remedy=remedy,
    )


def monotonic_clock() -> Finding:
    """The clock of all measurements: its stated resolution and the smallest step seen."""
    stated = time.get_clock_info("monotonic").resolution
    stamps = [time.monotonic_ns() for _ in range(2000)]
    seen = min((b - a for a, b in pairwise(stamps) if b > a), default=0) / 1e9
    fine = 0 < seen <= MAX_RESOLUTION_S * 10 and stated <= MAX_RESOLUTION_S
    return Finding(
        area=AREA,
        name="clock",
        status=Status.OK if fine else Status.WARN,
        detail=f"monotonic, resolution {stated * 1e9:.0f} ns, smallest step seen {seen * 1e9:.0f} ns",
        remedy="" if fine else "times will be coarse; on Linux use the tsc clock source",
    )


def wall_clock() -> Finding:
    """Date and discipline of the wall clock: measurements do not use it, records and certificates do."""
    now = datetime.now(UTC)
    synchronized = _synchronized()
    detail = now.strftime("%Y-%m-%d %H:%M UTC")
    if now.year < RELEASE_YEAR:
        return Finding(area=AREA, name="date", status=Status.WARN, detail=detail, remedy="set the date: it is wrong")
    states = {True: "synchronized", False: "not synchronized", None: "synchronization unknown"}
    remedy = "start a time service (timedatectl set-ntp true)" if synchronized is False else ""
    status = Status.WARN if synchronized is False else Status.OK
    return Finding(area=AREA, name="date", status=status, detail=f"{detail}, {states[synchronized]}", remedy=remedy)


def _synchronized() -> bool | None:
    """Whether the kernel says that a time service disciplines its clock; None where it cannot be asked."""
    if platform.system() != "Linux":
        return None
    try:
        # An all-zero struct timex only reads; 512 bytes are more than it has on any architecture.
        state = int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != TIME_ERROR


def load() -> Finding:
    """Load average of the last minute per core."""
    average, online = psutil.getloadavg()[0], os.cpu_count() or 1
    quiet = average <= MAX_LOAD_PER_CORE * online
    return Finding(
        area=AREA,
        name="load",
        status=Status.OK if quiet else Status.WARN,
        detail=f"load average {average:.2f} on {online} cores",
        remedy="" if quiet else "end other work before measuring",
    )


def noise() -> Finding:
    """How much longer the slowest of equal pieces of work takes than the median one."""
    ratio = noise_ratio(NOISE_SECONDS)
    quiet = ratio <= MAX_NOISE
    return Finding(
        area=AREA,
        name="noise",
        status=Status.OK if quiet else Status.WARN,
        detail=f"p99 of 1 ms pieces of work is {ratio:.2f} x the median",
        remedy="" if quiet else "other work or a busy host disturbs timing: results will scatter",
    )


def noise_ratio(seconds: float) -> float:
    """p99 over median of the time of equal pieces of work, each about a millisecond, over `seconds`."""
    size = 1000
    while _work(size) < NOISE_STEP_S and size < 10**8:
        size *= 2
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 20:
        times.append(_work(size))
    return sorted(times)[min(len(times) - 1, int(0.99 * len(times)))] / statistics.median(times)


def _work(size: int) -> float:
    start = time.perf_counter()
    sum(range(size))
    return time.perf_counter() - start
