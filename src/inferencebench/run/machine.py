"""Sharing a machine: which cores belong to the server and the client, and who may measure now."""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from inferencebench.doctor.gpu import scan_gpus
from inferencebench.errors import UserError
from inferencebench.run.neighbours import device_name
from inferencebench.suites.model import Hardware

TOPOLOGY = Path("/sys/devices/system/cpu")
NO_MORE = "-1"
"""In `$CUDA_VISIBLE_DEVICES`: CUDA shows neither it nor what follows it."""


class Cores(NamedTuple):
    """Core numbers of the server and of the measuring client; they overlap only on a machine too small for both."""

    server: tuple[int, ...]
    client: tuple[int, ...]


def by_core(cpus: Iterable[int], topology: Path = TOPOLOGY) -> list[int]:
    """Logical CPUs with the threads of one physical core beside each other, socket by socket.

    Linux numbers the second threads of all cores after the first ones: a share by number would split cores."""
    return sorted(cpus, key=lambda cpu: (*core_of(cpu, topology), cpu))


def shape(cpus: Iterable[int], topology: Path = TOPOLOGY) -> str:
    """What logical CPUs are, whatever their numbers, such as `16 CPUs on 8 cores of 1 socket`."""
    places = [core_of(cpu, topology) for cpu in cpus]
    cores, sockets = set(places), {place.socket for place in places}
    return f"{counted(len(places), 'CPU')} on {counted(len(cores), 'core')} of {counted(len(sockets), 'socket')}"


def counted(number: int, noun: str) -> str:
    """`1 core`, `2 cores`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class Core(NamedTuple):
    """A physical core; its number counts within its socket."""

    socket: int
    number: int


def core_of(cpu: int, topology: Path) -> Core:
    """Where a logical CPU lies; a core of its own on socket 0 where the kernel does not say."""
    folder = topology / f"cpu{cpu}" / "topology"
    return Core(_number(folder / "physical_package_id", 0), _number(folder / "core_id", cpu))


def _number(path: Path, unknown: int) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return unknown


def allocate(hardware: Hardware) -> Cores:
    """The suite's split of the cores this process may use: the server's from the front, the client's from the back."""
    available = by_core(os.sched_getaffinity(0))
    client = tuple(available[-hardware.client_cpus :])
    rest = [core for core in available if core not in client] or available
    server = tuple(rest[: hardware.server_cpus] if hardware.server_cpus else rest)
    return Cores(server, client)


def visible_devices() -> tuple[int, ...] | None:
    """Numbers of the GPUs that `$CUDA_VISIBLE_DEVICES` names by number or UUID; None where it is not set.

    Raises UserError for a UUID that is not one GPU's of this machine, and for a part of a GPU (MIG)."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return None
    names = [name.strip() for name in visible.split(",") if name.strip()]
    return tuple(map(_device, takewhile(lambda name: name != NO_MORE, names)))


def _device(name: str) -> int:
    """The number of the GPU with this number, UUID, or beginning of a UUID that no other GPU's has."""
    if name.isdecimal():
        return int(name)
    if not name.startswith("GPU-"):
        raise UserError(f"CUDA_VISIBLE_DEVICES: {name}: name whole GPUs, by number (0,1) or by UUID (GPU-8932f937)")
    uuids = _uuids()
    found = [number for number, uuid in enumerate(uuids) if uuid.startswith(name)]
    if len(found) > 1:
        numbers = ", ".join(map(str, found))
        raise UserError(f"CUDA_VISIBLE_DEVICES: {name}: begins the UUIDs of GPUs {numbers}; give more of it")
    if not found:
        right = f"expected one of {', '.join(uuids)}" if uuids else "the driver shows no GPU here"
        raise UserError(f"CUDA_VISIBLE_DEVICES: {name}: no GPU of this machine; {right}")
    return found[0]


def _uuids() -> list[str]:
    """UUIDs of this machine's GPUs by number, as the names of their leases say them."""
    host = f"{device_name(None)}-"
    return [device_name(number).removeprefix(host) for number in range(len(scan_gpus().gpus))]


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
