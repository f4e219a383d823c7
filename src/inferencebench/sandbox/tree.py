"""Finding and ending every process of a sandbox. Shared by the harness and the warden: standard library only."""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

LINUX = sys.platform == "linux"
KILL_TIMEOUT_S = 10.0


class Ended(NamedTuple):
    """Counts of an end: `KillReport` before it crosses the socket."""

    survivors: list[int]
    killed: int


def processes() -> dict[int, tuple[int, str]]:
    """Parent and state letter of every process, from /proc or, elsewhere, from `ps`."""
    if not LINUX:
        import subprocess

        rows = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,state="], capture_output=True, text=True).stdout
        return {int(p): (int(pp), s[:1]) for p, pp, s in (line.split()[:3] for line in rows.splitlines())}
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            table[int(name)] = (int(fields[1]), fields[0].decode())
    return table


def descendants(root: int) -> list[int]:
    """Living processes below `root`. Complete when `root` is a subreaper: orphans become its children."""
    table = processes()
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in table.items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.pop(queue.pop(), [])
        found += below
        queue += below
    return sorted(pid for pid in found if table[pid][1] not in "ZX")


def namespace_members(inode: int, init: int) -> list[int]:
    """Living processes whose PID namespace is `inode`, without its first process, which is the sandbox's own."""
    link = f"pid:[{inode}]"
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.readlink(f"/proc/{name}/ns/pid") == link and int(name) != init:
                found.append(int(name))
        except OSError:
            continue
    table = processes() if found else {}  # the dead keep the link until their parent looks
    return sorted(pid for pid in found if table.get(pid, (0, "Z"))[1] not in "ZX")


def first_of_namespace(root: int) -> int:
    """The process below `root` that is number 1 of a PID namespace of its own. OSError when there is none."""
    for pid in descendants(root):
        try:
            with open(f"/proc/{pid}/status") as file:
                numbers = next((line.split()[1:] for line in file if line.startswith("NSpid:")), [])
        except OSError:
            continue
        if len(numbers) > 1 and numbers[-1] == "1":
            return pid
    raise OSError("the container has no process namespace of its own")


def send(pids: list[int], signum: int) -> None:
    """Signal processes; those already gone are no error."""
    for pid in pids:
        try:
            os.kill(pid, signum)
        except (ProcessLookupError, PermissionError):
            continue


def end(members: Callable[[], list[int]], init: int | None, grace_s: float, childless: Callable[[], bool]) -> Ended:
    """SIGTERM, grace, SIGKILL; until nothing is left or `KILL_TIMEOUT_S` is over.

    A scan of /proc can miss a process that forks and exits meanwhile. Being without children cannot: the warden adopts
    every orphan, so something lives below it as long as it has a child. With a PID namespace the kernel ends all when
    its first process `init` dies; what a container program left outside it is killed after half of that time. Without
    one, all are stopped before any is killed, until a scan finds nobody new."""
    alive = members()
    killed = len(alive)
    send(alive, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while not childless() and time.monotonic() < deadline:
        time.sleep(0.01)
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while not childless():
        if init is not None:
            late = time.monotonic() > deadline - KILL_TIMEOUT_S / 2
            send([init, *(descendants(os.getpid()) if late else [])], signal.SIGKILL)
        else:
            stopped: set[int] = set()
            while fresh := set(members()) - stopped:
                send(sorted(fresh), signal.SIGSTOP)
                stopped |= fresh
            send(sorted(stopped), signal.SIGKILL)
        if time.monotonic() > deadline:
            return Ended(members(), killed)
        time.sleep(0.002)
    return Ended([], killed)
