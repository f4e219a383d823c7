"""Back end `bubblewrap`: namespaces of its own for users, processes, network, mounts, IPC and host name."""

import functools
import os
import platform
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from inferencebench.errors import InfrastructureError, MissingError
from inferencebench.sandbox import cgroups, gpu
from inferencebench.sandbox.contract import Probe, SandboxProcess, SandboxSpec, writable
from inferencebench.sandbox.link import WardenLink
from inferencebench.sandbox.remedies import INSTALL, bubblewrap_remedy
from inferencebench.sandbox.running import WardenProcess
from inferencebench.sandbox.warden import Order

HOME = "/home/agent"
HOST = "127.0.0.1"
PORT = 8000
"""Every sandbox has a network of its own, so all may use one port."""

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Host directories that are shown read-only (as the host's symbolic links where they are such)."""

ETC_HOST = (
    "alternatives",
    "ca-certificates.conf",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "ssl/certs",
    "ssl/openssl.cnf",
)
"""What the dynamic linker, clocks and TLS need of the host's /etc; nothing that names users, hosts or keys."""
ETC_OWN = Path(__file__).parent / "etc"
"""Files of /etc that say the same on every host."""

CPU_FACTS = ("/sys/devices/system/cpu", "/sys/devices/system/node")
"""Engines read the core topology here to choose their thread counts."""


MEMORY_PLACES = {"/tmp": ("1777", 4), "/var/tmp": ("1777", 16), "/dev/shm": ("1777", 8), HOME: ("0700", 8)}
"""Writable places in memory: their mode, and of which part of the memory they may take (4: a quarter)."""


@functools.cache
def knows_option(program: str, option: str) -> bool:
    """Whether this bubblewrap has `option`: 0.7 and later bound a tmpfs by `--size`, 0.8 and later forbid further user
    namespaces inside by `--disable-userns`."""
    return option in subprocess.run([program, "--help"], capture_output=True, text=True).stdout.split()


def _memory_options(memory_bytes: int | None, sized: bool) -> list[str]:
    """Private writable places, together little more than half of the memory that the sandbox may use."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    memory = min(machine, memory_bytes or machine)
    options: list[str] = []
    for place, (mode, part) in MEMORY_PLACES.items():
        size = ["--size", str(memory // part)] if sized else []
        options += ["--perms", mode, *size, "--tmpfs", place]
    return options


def _system_options(gpus: tuple[int, ...]) -> list[str]:
    """The base system, /proc and /dev.

    /proc is read-only because /proc/sys and /proc/sysrq-trigger obey their owner even without capabilities, and the
    sandbox of a harness that runs as root is that owner. With a GPU its own processes stay writable there."""
    options: list[str] = []
    for name in SYSTEM:
        path = Path(name)
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), name]
        elif path.is_dir():
            options += ["--ro-bind", name, name]
    for name in ETC_HOST:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for file in sorted(ETC_OWN.iterdir()):
        options += ["--ro-bind", str(file), f"/etc/{file.name}"]
    options += ["--dir", "/run", "--proc", "/proc", *gpu.proc_options(gpus), "--dev", "/dev"]
    for facts in CPU_FACTS:
        options += ["--ro-bind-try", facts, facts]
    return options


def _mount_options(spec: SandboxSpec) -> list[str]:
    """Mounts, parents before what lies in them, then masks. InfrastructureError for a source that is not there."""
    options: list[str] = []
    for mount in sorted(spec.mounts, key=lambda mount: mount.target.count("/")):
        source = mount.source.resolve()
        if not source.exists():
            raise InfrastructureError(f"sandbox: mount {mount.target}: {mount.source} does not exist")
        options += ["--bind" if mount.writable else "--ro-bind", str(source), mount.target]
    for inside in spec.masked:
        host = host_path(spec, inside)
        if host is not None and host.is_dir():
            options += ["--tmpfs", inside, "--remount-ro", inside]
        elif host is not None and host.exists():
            options += ["--ro-bind", os.devnull, inside]
    return options


def host_path(spec: SandboxSpec, inside: str) -> Path | None:
    """What a path inside shows of the host: by the deepest mount above it, else the base system; None: nothing."""
    path = Path(inside)
    for mount in sorted(spec.mounts, key=lambda mount: -mount.target.count("/")):
        if path.is_relative_to(mount.target):
            return mount.source / path.relative_to(mount.target)
    return path if path.parts[:2] == ("/", "usr") else None


class BubblewrapProcess(WardenProcess):
    """A command behind bubblewrap's walls: its pid is bubblewrap's, its port is one of the sandbox's own network."""

    def connect(self, timeout_s: float = 5.0) -> socket.socket:
        """A connected socket. It was made inside the namespace: its bytes pass through no other process."""
        sock = self._link.new_socket()
        try:
            sock.settimeout(timeout_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect((HOST, self._port))
        except TimeoutError:
            sock.close()
            raise
        except OSError as error:
            sock.close()
            raise ConnectionRefusedError(f"sandbox: port {self._port} inside: {error.strerror}") from None
        return sock


def try_once(start: Callable[[SandboxSpec, list[str], IO[bytes], IO[bytes]], SandboxProcess]) -> Probe:
    """Start a command that does nothing, and reach for its network."""
    with tempfile.TemporaryFile() as output:
        try:
            process = start(SandboxSpec(cwd="/"), ["/bin/cat", "/proc/self/status"], output, output)
        except InfrastructureError as error:
            return Probe(False, str(error))
        try:
            process.connect().close()
        except ConnectionRefusedError:
            pass
        finally:
            process.terminate()
    return Probe(True, "")


class Bubblewrap:
    """Unprivileged namespaces by `bwrap`; the default back end."""

    name = "bubblewrap"
    verified = True

    def probe(self) -> Probe:
        """Start a command that does nothing, and reach for its network."""
        program = shutil.which("bwrap")
        if program is None:
            return Probe(False, "bwrap is not installed", INSTALL)
        version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip()
        return self.try_once(version)

    def try_once(self, version: str) -> Probe:
        """Whether a sandbox starts and its network can be reached."""
        found = try_once(self.start)
        return Probe(True, version) if found.ok else Probe(False, found.detail, bubblewrap_remedy(found.detail))

    def wall(self) -> list[str]:
        """The program that makes the namespaces, with those of its arguments that say nothing of this host.

        Raises MissingError when it is not installed."""
        program = shutil.which("bwrap")
        if program is None:
            raise MissingError(f"sandbox: bwrap is not installed: {INSTALL}")
        return _wall(program)

    def bounds_memory_places(self) -> bool:
        """Whether the program can limit the size of a tmpfs."""
        return knows_option(shutil.which("bwrap") or "bwrap", "--size")

    def start(self, spec: SandboxSpec, argv: list[str], stdout: IO[bytes], stderr: IO[bytes]) -> SandboxProcess:
        """Start `argv` behind the walls."""
        wall = self.wall()
        port = spec.port or PORT
        machine = gpu.environment(os.environ) if spec.gpus else {}
        env = {**machine, **spec.env, "HOST": HOST, "PORT": str(port)}
        options = ["--clearenv"]
        for name, value in env.items():
            options += ["--setenv", name, value]
        sized = self.bounds_memory_places()
        options += [*_system_options(spec.gpus), *gpu.options(spec.gpus), *_memory_options(spec.memory_bytes, sized)]
        options += [*_mount_options(spec), "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", spec.cwd]
        affinity = checked_cpus(spec.cpus)
        limited = cgroups.limit(spec.memory_bytes, spec.max_processes)
        rlimit = None
        limits = {**limited.limits, **({"cpus": "affinity"} if affinity else {})}
        if not sized:
            limits["tmpfs"] = "not enforced: bubblewrap is older than 0.7"
        if limits.get("processes", "").startswith("not enforced") and rlimit_counts_per_sandbox():
            rlimit, limits["processes"] = spec.max_processes, "rlimit"
        order = Order(
            argv=argv,
            env={},
            cwd=spec.cwd,
            wall=wall,
            wall_options=options,
            cpus=affinity,
            cgroups=[str(path) for path in limited.directories],
            max_processes=rlimit,
            scratch=[],
            gateway=spec.gateway_port,
            writable=writable(spec),
            disk_bytes=spec.disk_bytes,
        )
        return BubblewrapProcess(WardenLink(order, stdout, stderr), port, limits)


def _wall(program: str) -> list[str]:
    """The part of bubblewrap's arguments that says nothing of this host."""
    wall = [program, "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    wall += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    wall += ["--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]
    return [*wall, "--disable-userns"] if knows_option(program, "--disable-userns") else wall


def checked_cpus(cpus: tuple[int, ...] | None) -> list[int]:
    """The cores to pin to; empty: all. InfrastructureError when one of them is not ours to use."""
    if cpus is None or not hasattr(os, "sched_getaffinity"):
        return []
    allowed = os.sched_getaffinity(0)
    if not cpus or set(cpus) - allowed:
        raise InfrastructureError(f"sandbox: cores {list(cpus)} asked for, of {sorted(allowed)} that may be used")
    return sorted(cpus)


def rlimit_counts_per_sandbox() -> bool:
    """Whether RLIMIT_NPROC, set inside, counts only this sandbox: since Linux 5.14, and never for the host's root."""
    major, minor = (int("".join(c for c in part if c.isdigit()) or 0) for part in platform.release().split(".")[:2])
    return os.geteuid() != 0 and (major, minor) >= (5, 14)
