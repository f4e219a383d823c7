"""Back end `process`: a plain process tree on the host. It measures, but proves nothing: such rows are never ranked."""

import os
import shutil
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from inferencebench.errors import InfrastructureError
from inferencebench.sandbox import cgroups, gpu
from inferencebench.sandbox.bubblewrap import HOME, HOST, checked_cpus
from inferencebench.sandbox.contract import (
    ForeignListenerError,
    Mount,
    Probe,
    SandboxProcess,
    SandboxSpec,
    writable,
)
from inferencebench.sandbox.link import WardenLink
from inferencebench.sandbox.listeners import PortOwner
from inferencebench.sandbox.running import WardenProcess
from inferencebench.sandbox.warden import Order


def outside(text: str, mounts: Sequence[Mount]) -> str:
    """`text` with inside paths replaced by host paths, if it is a path or a colon-separated list of paths.

    A path below a mount's target becomes one below its source; so does a parent of a target as far as source and
    target end alike (`PYTHONPATH` names the parent of the package that is mounted)."""
    return ":".join(_outside_path(part, mounts) for part in text.split(":"))


def _outside_path(text: str, mounts: Sequence[Mount]) -> str:
    """One path; text that is none, or is not mounted, stays as it is."""
    if not text.startswith("/"):
        return text
    path = Path(text)
    for mount in sorted(mounts, key=lambda mount: -mount.target.count("/")):
        if path.is_relative_to(mount.target):
            return str(mount.source / path.relative_to(mount.target))
    for mount in mounts:
        target = Path(mount.target)
        if path != Path("/") and target.is_relative_to(path):
            below = target.relative_to(path)
            count = len(below.parts)
            if mount.source.parts[-count:] == below.parts:
                return str(Path(*mount.source.parts[:-count]))
    return text


def free_port() -> int:
    """A port of the loopback device that nobody holds at this moment."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


class TreeProcess(WardenProcess):
    """A command on the host and all it started: its port is one of the host's loopback device."""

    def __init__(self, link: WardenLink, port: int, limits: dict[str, str]) -> None:
        super().__init__(link, port, limits)
        self._owner = PortOwner(port)

    def connect(self, timeout_s: float = 5.0) -> socket.socket:
        """A connected socket, after proof that the listener is of our tree; proved again once connected, lest it
        changed hands in between."""
        self._prove()
        sock = socket.create_connection((HOST, self._port), timeout=timeout_s)
        try:
            self._prove()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            sock.close()
            raise
        return sock

    def _prove(self) -> None:
        """ConnectionRefusedError when nobody listens, ForeignListenerError when somebody else does."""
        owned = self._owner.owned(self.pids)
        if owned is None:
            raise ConnectionRefusedError(f"sandbox: nothing listens on port {self._port}")
        if not owned:
            raise ForeignListenerError(f"sandbox: port {self._port} is held by a process that is not of this sandbox")


class Process:
    """No wall at all: mounts are translated into host paths, the network is the host's."""

    name = "process"
    verified = False

    def probe(self) -> Probe:
        """Start a command that does nothing."""
        with tempfile.TemporaryFile() as output:
            try:
                self.start(SandboxSpec(cwd="/"), ["/bin/sh", "-c", "exit 0"], output, output).terminate()
            except InfrastructureError as error:
                return Probe(False, str(error))
        return Probe(True, "no isolation: measures, never ranks")

    def start(self, spec: SandboxSpec, argv: list[str], stdout: IO[bytes], stderr: IO[bytes]) -> SandboxProcess:
        """Start `argv` with every inside path of argv, environment and cwd replaced by the host's.

        Masks and read-only mounts are not enforced. Paths written inside files are not replaced."""
        affinity = checked_cpus(spec.cpus)
        port = spec.port or free_port()
        private = Path(tempfile.mkdtemp(prefix="inferencebench-"))
        try:
            mounts = (*spec.mounts, Mount(private, HOME), Mount(private, "/workspace"))
            mounts = tuple(Mount(m.source.absolute(), m.target, m.writable) for m in mounts)
            for mount in mounts:
                if not mount.source.exists():
                    raise InfrastructureError(f"sandbox: mount {mount.target}: {mount.source} does not exist")
            env = {name: outside(value, mounts) for name, value in spec.env.items()}
            if spec.gpus:
                env = gpu.environment(os.environ) | env
                env.setdefault("CUDA_VISIBLE_DEVICES", ",".join(map(str, spec.gpus)))
            limited = cgroups.limit(spec.memory_bytes, spec.max_processes)
            order = Order(
                argv=[outside(arg, mounts) for arg in argv],
                env={**env, "HOST": HOST, "PORT": str(port)},
                cwd=outside(spec.cwd, mounts),
                wall=[],
                wall_options=[],
                cpus=affinity,
                cgroups=[str(path) for path in limited.directories],
                max_processes=None,
                scratch=[str(private)],
                gateway=spec.gateway_port,
                writable=writable(spec),
                disk_bytes=spec.disk_bytes,
            )
            limits = {**limited.limits, **_cpu_limit(spec, affinity)}
            return TreeProcess(WardenLink(order, stdout, stderr), port, limits)
        except InfrastructureError:
            shutil.rmtree(private, ignore_errors=True)
            raise


def _cpu_limit(spec: SandboxSpec, affinity: list[int]) -> dict[str, str]:
    """What the record says of the cores."""
    if spec.cpus is None:
        return {}
    return {"cpus": "affinity" if affinity else f"not enforced: no affinity on {os.uname().sysname}"}
