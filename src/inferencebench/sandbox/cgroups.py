"""Memory and process limits by control groups, version 2 or 1, where this user may make them."""

import contextlib
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path

WALL_PROCESSES = 3
"""Processes of the wall itself (its monitor, its first process, the gate) that share the sandbox's control group."""


@dataclass(frozen=True)
class Limited:
    """Groups that were made for one sandbox, and what enforces each limit."""

    directories: tuple[Path, ...] = ()
    limits: dict[str, str] = field(default_factory=dict)
    """`memory` and `processes`: the enforcer, or `not enforced: why`. Absent when the limit was not asked for."""


def own_groups() -> dict[str, str]:
    """Our control group's path by controller; version 2 under the empty name. Empty where there are none."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return {}
    return {name: path for line in lines for _, names, path in [line.split(":", 2)] for name in names.split(",")}


def mount_points() -> dict[str, Path]:
    """Where each version 1 controller is mounted, and version 2 under the empty name."""
    found: dict[str, Path] = {}
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return {}
    for line in lines:
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2":
            found.setdefault("", Path(before.split()[4]))
        elif kind == "cgroup":
            for name in options.split(","):
                found.setdefault(name, Path(before.split()[4]))
    return found


def limit(memory_bytes: int | None, max_processes: int | None) -> Limited:
    """Make groups that bound memory (bytes) and processes. Never fails: what cannot be bound is said."""
    wanted = {
        "memory": ("memory", memory_bytes),
        "processes": ("pids", None if max_processes is None else max_processes + WALL_PROCESSES),
    }
    name = f"inferencebench-{uuid.uuid4().hex[:12]}"
    directories: list[Path] = []
    limits: dict[str, str] = {}
    for label, (controller, value) in wanted.items():
        if value is not None:
            directory, limits[label] = _bound(controller, value, name)
            if directory is not None and directory not in directories:
                directories.append(directory)
    return Limited(tuple(directories), limits)


def _bound(controller: str, value: int, name: str) -> tuple[Path | None, str]:
    """The group in which `controller` is bound to `value`, and by what; or None and why not."""
    groups, mounts = own_groups(), mount_points()
    reason = f"no {controller} controller"
    if "" in mounts and "" in groups:
        own = mounts[""] / groups[""].lstrip("/")
        # Version 2 has processes in leaves only, so beside ourselves is as good a place as below.
        for parent in (own, own.parent):
            directory, reason_here = _bound_v2(parent / name, controller, value)
            if directory is not None:
                return directory, "cgroup v2"
            reason = reason_here
            if parent == mounts[""]:
                break
    if controller in mounts and controller in groups:
        directory = mounts[controller] / groups[controller].lstrip("/") / name
        files = {"memory": "memory.limit_in_bytes", "pids": "pids.max"}
        try:
            directory.mkdir()
            (directory / files[controller]).write_text(str(value))
            _check_joinable(directory)
        except OSError as error:
            _discard(directory)
            return None, f"not enforced: cgroup v1: {error.strerror}"
        return directory, "cgroup v1"
    return None, f"not enforced: {reason}"


def _bound_v2(directory: Path, controller: str, value: int) -> tuple[Path | None, str]:
    """The same for version 2, where the parent must have handed the controller down."""
    ours = not directory.exists()  # the other limit may have made it
    try:
        directory.mkdir(exist_ok=True)
        file = directory / f"{controller}.max"
        if not file.exists():
            raise OSError(0, f"the {controller} controller is not delegated to us")
        file.write_text(str(value))
        _check_joinable(directory)
    except OSError as error:
        if ours:
            _discard(directory)
        return None, f"cgroup v2: {error.strerror}"
    return directory, ""


def _check_joinable(directory: Path) -> None:
    """OSError when we may make the group but not move a process into it."""
    if not all(os.access(place / "cgroup.procs", os.W_OK) for place in (directory, directory.parent)):
        raise OSError(0, "cannot move a process into the group")


def _discard(directory: Path) -> None:
    """Remove a group that is of no use."""
    with contextlib.suppress(OSError):
        directory.rmdir()
