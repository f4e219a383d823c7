"""Sharing a machine: which cores belong to the server and the client, and who may measure now."""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from inferencebench.errors import UserError
from inferencebench.suites.model import Hardware

TOPOLOGY = Path("/sys/devices/system/cpu")
TOPOLOGY_FILES = ("physical_package_id", "core_id")


class Cores(NamedTuple):
    """Core numbers of the server and of the measuring client; they overlap only on a machine too small for both."""

    server: tuple[int, ...]
    client: tuple[int, ...]


def by_core(cpus: Iterable[int], topology: Path = TOPOLOGY) -> list[int]:
    """Logical CPUs with the threads of one physical core beside each other, socket by socket.

    Linux numbers the second threads of all cores after the first ones: a share by number would split cores."""
    return sorted(cpus, key=lambda cpu: (*(_number(topology / f"cpu{cpu}/topology/{n}") for n in TOPOLOGY_FILES), cpu))


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def allocate(hardware: Hardware) -> Cores:
    """The suite's split of the cores this process may use: the server's from the front, the client's from the back."""
    available = by_core(os.sched_getaffinity(0))
    client = tuple(available[-hardware.client_cpus :])
    rest = [core for core in available if core not in client] or available
    server = tuple(rest[: hardware.server_cpus] if hardware.server_cpus else rest)
    return Cores(server, client)


def visible_devices() -> tuple[int, ...] | None:
    """GPU numbers in `$CUDA_VISIBLE_DEVICES`; None where it is not set. Raises UserError for anything but numbers."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return None
    try:
        return tuple(int(part) for part in visible.split(",") if part.strip())
    except ValueError:
        raise UserError(f"CUDA_VISIBLE_DEVICES={visible}: name GPUs by number, such as 0,1") from None


def devices(hardware: Hardware) -> tuple[int, ...]:
    """Numbers of the GPUs a run may use: as many as the suite states, of the visible ones.

    Raises UserError when too few are visible."""
    if hardware.kind == "cpu":
        return ()
    visible = visible_devices()
    numbers = tuple(range(hardware.devices)) if visible is None else visible
    if len(numbers) < hardware.devices:
        shown = ",".join(map(str, numbers))
        raise UserError(f"CUDA_VISIBLE_DEVICES={shown}: {hardware.name} needs {hardware.devices} GPUs")
    return numbers[: hardware.devices]


@contextmanager
def lease(path: Path, *, wait: bool, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock file while the body runs. The kernel releases it when the holder dies.

    Raises UserError when `wait` is False and another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise UserError(f"{path.parent}: another process is working here; wait for it or end it") from None
            if on_wait:
                on_wait()
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
