"""What container programs share: the same view of the host as bubblewrap's, as a list of places and a root directory.

In: a `SandboxSpec`. Out: the places that a program has to mount, and an empty root directory with their mount points.
Both back ends run the command below the first program of `INIT`, and the warden finds and joins the namespaces.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, NamedTuple

from inferencebench.errors import InfrastructureError
from inferencebench.sandbox import cgroups, gpu
from inferencebench.sandbox.bubblewrap import (
    CPU_FACTS,
    ETC_HOST,
    ETC_OWN,
    HOME,
    HOST,
    MEMORY_PLACES,
    PORT,
    SYSTEM,
    BubblewrapProcess,
    checked_cpus,
    host_path,
)
from inferencebench.sandbox.contract import SandboxProcess, SandboxSpec, writable
from inferencebench.sandbox.link import WardenLink
from inferencebench.sandbox.warden import Order

OWN_PLACES = ("proc", "sys", "dev", "run", "tmp", "var/tmp", "etc", HOME.lstrip("/"))
"""Directories of the root that programs mount over, or expect."""
VERSION_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Place:
    """One mount. `bind`: a host path, `memory`: a private file system of at most `size` bytes, `empty`: a mask."""

    kind: Literal["bind", "memory", "empty"]
    target: str
    source: Path | None = None
    writable: bool = False
    size: int | None = None


class Inside(NamedTuple):
    """What is to run in a container, and where its output goes."""

    spec: SandboxSpec
    argv: list[str]
    stdout: IO[bytes]
    stderr: IO[bytes]


def start(
    inside: Inside, wanted: list[Place], command: Callable[[Path], list[str]], limits: dict[str, str]
) -> SandboxProcess:
    """Start a container program. `command` gives its command line for a private directory that holds `root`; `limits`
    are what it cannot bound."""
    spec = inside.spec
    affinity = checked_cpus(spec.cpus)
    port = spec.port or PORT
    private = Path(tempfile.mkdtemp(prefix="inferencebench-"))
    try:
        make_root(private / "root", wanted)
        limited = cgroups.limit(spec.memory_bytes, spec.max_processes)
        order = Order(
            argv=inside.argv,
            env={**environment(spec), "HOST": HOST, "PORT": str(port)},
            cwd=spec.cwd,
            wall=command(private),
            wall_options=[],
            cpus=affinity,
            cgroups=[str(path) for path in limited.directories],
            max_processes=None,
            scratch=[str(private)],
            gateway=spec.gateway_port,
            writable=writable(spec),
            disk_bytes=spec.disk_bytes,
            container=host_environment(),
        )
        link = WardenLink(order, inside.stdout, inside.stderr)
    except (InfrastructureError, OSError):
        shutil.rmtree(private, ignore_errors=True)
        raise
    enforced = {**limited.limits, **({"cpus": "affinity"} if affinity else {})}
    return BubblewrapProcess(link, port, {**enforced, **limits})


def places(spec: SandboxSpec) -> list[Place]:
    """All mounts, parents before what lies in them; the last one asked for at a path is the one that is seen.

    InfrastructureError for a source that is not there."""
    found = [Place("bind", name, Path(name)) for name in SYSTEM if Path(name).is_dir() and not Path(name).is_symlink()]
    found += [Place("bind", f"/etc/{name}", Path("/etc", name)) for name in ETC_HOST if Path("/etc", name).exists()]
    found += [Place("bind", f"/etc/{file.name}", file) for file in sorted(ETC_OWN.iterdir())]
    drivers = gpu.DRIVER_PLACES if spec.gpus else ()
    found += [Place("bind", name, Path(name)) for name in drivers if Path(name).exists()]
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    memory = min(machine, spec.memory_bytes or machine)
    for target, (_, part) in MEMORY_PLACES.items():
        found.append(Place("memory", target, writable=True, size=memory // part))
    for mount in sorted(spec.mounts, key=lambda mount: mount.target.count("/")):
        source = mount.source.resolve()
        if not source.exists():
            raise InfrastructureError(f"sandbox: mount {mount.target}: {mount.source} does not exist")
        found.append(Place("bind", mount.target, source, mount.writable))
    for inside in spec.masked:
        host = host_path(spec, inside)
        if host is not None and host.is_dir():
            found.append(Place("empty", inside))
        elif host is not None and host.exists():
            found.append(Place("bind", inside, Path(os.devnull)))
    return list({place.target: place for place in found}.values())


def cpu_facts() -> list[Place]:
    """The core topology, for programs that show no /sys of their own."""
    return [Place("bind", name, Path(name)) for name in CPU_FACTS if Path(name).is_dir()]


def environment(spec: SandboxSpec) -> dict[str, str]:
    """The command's whole environment but for its address."""
    return {**(gpu.environment(os.environ) if spec.gpus else {}), **spec.env}


def make_root(folder: Path, wanted: list[Place]) -> None:
    """An empty root directory: links of the base system, and a mount point for every place."""
    folder.mkdir()
    folder.chmod(0o755)
    for name in SYSTEM:
        if Path(name).is_symlink():
            (folder / name.lstrip("/")).symlink_to(os.readlink(name))
    for name in OWN_PLACES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    under = [place.target for place in wanted if place.kind == "bind"]
    for place in wanted:
        if any(place.target != other and Path(place.target).is_relative_to(other) for other in under):
            continue  # it lies in what another mount shows
        point = folder / place.target.lstrip("/")
        if place.source is not None and not place.source.is_dir():
            point.parent.mkdir(parents=True, exist_ok=True)
            point.touch()
        else:
            point.mkdir(parents=True, exist_ok=True)
            if place.kind == "memory":
                point.chmod(0o1777)  # runc gives a file system in memory the mode of its mount point


def host_environment() -> dict[str, str]:
    """What a container program itself needs of our environment."""
    names = ("PATH", "HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "USER", "LOGNAME")
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **{n: os.environ[n] for n in names if n in os.environ}}


def version(program: str) -> str | None:
    """The first line of `PROGRAM --version`; None where it is not installed or does not answer."""
    path = shutil.which(program)
    if path is None:
        return None
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return next(iter(done.stdout.splitlines()), "").strip() or None
