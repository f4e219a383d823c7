"""Naming a process for good: by pid, start in ticks since boot, and the boot. No clock that may be set enters it."""

from pathlib import Path

PROC = Path("/proc")
STATE, STARTED = 0, 19
"""Of what follows the program's name in /proc/PID/stat; `man 5 proc_pid_stat` counts from 3."""


def identity(pid: int) -> str:
    """`PID@TICKS-BOOT`; `PID@gone` of a process that is not there."""
    fields = _stat(pid)
    return f"{pid}@{fields[STARTED]}-{_boot()}" if fields else f"{pid}@gone"


def living(name: str) -> int | None:
    """The pid of the living process of this name; None when it has ended, or its pid is another's now."""
    pid = name.partition("@")[0]
    if not pid.isdigit() or identity(int(pid)) != name:
        return None
    fields = _stat(int(pid))
    return int(pid) if fields and fields[STATE] != "Z" else None


def _stat(pid: int) -> list[str]:
    """What the kernel says of a process, from its state on; nothing of one that is not there."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _boot() -> str:
    """Tells this boot from others, in whose ticks another process may have started."""
    return (PROC / "sys/kernel/random/boot_id").read_text()[:8]
