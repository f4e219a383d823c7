"""Preflight: whether this machine may measure now, and what is recorded of it.

What is missing (a GPU that another process computes on, space, memory) keeps a run from starting, as an infrastructure
failure; noise, load and clocks are recorded, since a scored table can be filtered by them later.
"""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from pydantic import TypeAdapter, ValidationError

from inferencebench.doctor import resources
from inferencebench.doctor.model import Finding, Status
from inferencebench.errors import InfrastructureError
from inferencebench.files import write_json
from inferencebench.run.neighbours import foreign_users, gpu_state

FILE = "preflight.json"
AREA = "preflight"
MIN_DISK_GIB = 1.0
MIN_MEMORY_GIB = 2.0
MAX_GPU_TAKEN_GIB = 2.0
"""Of a GPU's memory; the driver itself takes less."""
BUSY_SECONDS = 0.3
BUSY_SHARE = 0.25
"""Of one core, from which a process counts as a neighbour."""
LISTED = 5
"""Neighbours that are named."""
_FINDINGS = TypeAdapter(tuple[Finding, ...])


def check(out: Path, directory: Path, gpus: Sequence[int]) -> tuple[Finding, ...]:
    """Look at the machine, and write what was found to the run's `preflight.json`. Takes a second.

    Raises InfrastructureError, naming what is missing, when a run must not start here."""
    found = (
        *(find(number) for number in gpus for find in (_gpu, _gpu_clocks)),
        _space("disk", shutil.disk_usage(out).free, MIN_DISK_GIB, f"in {out}"),
        _space("memory", psutil.virtual_memory().available, MIN_MEMORY_GIB, "of main memory"),
        _neighbours(),
        resources.monotonic_clock(),
        resources.load(),
        resources.noise(),
    )
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / FILE, [finding.model_dump(mode="json") for finding in found])
    if missing := [finding for finding in found if finding.status is Status.MISSING]:
        raise InfrastructureError("preflight: " + "; ".join(f"{f.name}: {f.detail}" for f in missing))
    return found


def read(directory: Path) -> tuple[Finding, ...] | None:
    """What the newest preflight of a run found; None when it was started without one."""
    try:
        return _FINDINGS.validate_json((directory / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def _gpu(number: int) -> Finding:
    """Whether the GPU is ours alone: no process on it, and none of its memory taken by one that we cannot see."""
    users = foreign_users(number)
    state = gpu_state(number)
    taken_gib = (state.used_mib or 0.0) / 1024 if state else 0.0
    hidden = not users and taken_gib > MAX_GPU_TAKEN_GIB
    detail = f"used by pid {', '.join(map(str, users))}" if users else "no process computes on it"
    if state:
        detail += f", {taken_gib:.1f} GiB taken" + (" by a process that is not visible here" if hidden else "")
    return Finding(
        area=AREA,
        name=f"gpu {number}",
        status=Status.MISSING if users or hidden else Status.OK,
        detail=detail,
        remedy="end the process, or run elsewhere" if users or hidden else "",
    )


def _gpu_clocks(number: int) -> Finding:
    """Clocks and heat; a GPU that is slowed down measures its cooling."""
    state = gpu_state(number)
    if state is None:
        return Finding(area=AREA, name=f"gpu {number} clocks", status=Status.WARN, detail="nvidia-smi does not answer")
    detail = (
        f"SM {state.sm_mhz or 0:.0f} of {state.max_sm_mhz or 0:.0f} MHz, {state.celsius or 0:.0f} °C, "
        f"{state.watts or 0:.0f} W"
    )
    if state.throttled:
        detail += f"; slowed down: {', '.join(state.throttled)}"
    return Finding(
        area=AREA,
        name=f"gpu {number} clocks",
        status=Status.WARN if state.throttled else Status.OK,
        detail=detail,
        remedy="let it cool, or ask who runs the machine" if state.throttled else "",
    )


def _space(name: str, free_bytes: float, needed_gib: float, where: str) -> Finding:
    free = free_bytes / 2**30
    enough = free >= needed_gib
    return Finding(
        area=AREA,
        name=name,
        status=Status.OK if enough else Status.MISSING,
        detail=f"{free:.1f} GiB free {where}, {needed_gib:g} needed",
        remedy="" if enough else f"free {needed_gib:g} GiB",
    )


def _neighbours() -> Finding:
    """Other processes that compute now: a shared machine measures its neighbours too."""
    before = _cpu_s()
    time.sleep(BUSY_SECONDS)
    after = _cpu_s()
    busy = {
        key: share
        for key, seconds in after.items()
        if (share := (seconds - before.get(key, seconds)) / BUSY_SECONDS) >= BUSY_SHARE
    }
    busiest = sorted(busy, key=lambda key: -busy[key])[:LISTED]
    detail = ", ".join(f"pid {pid} {name} {busy[pid, name]:.0%} of a core" for pid, name in busiest)
    return Finding(
        area=AREA,
        name="neighbours",
        status=Status.WARN if busy else Status.OK,
        detail=detail or "no other process computes",
        remedy="end other work before measuring" if busy else "",
    )


def _cpu_s() -> dict[tuple[int, str], float]:
    """CPU seconds of every other process."""
    found = {}
    for process in psutil.process_iter(["pid", "name", "cpu_times"]):
        times = process.info["cpu_times"]
        if process.info["pid"] != os.getpid() and times is not None:
            found[process.info["pid"], str(process.info["name"])] = times.user + times.system
    return found
