"""The sandbox contract: start a command behind a wall, reach its port, and end everything it started.

What comes in: a `SandboxSpec` and an argument list. What goes out: a `SandboxProcess`. Nothing inside is trusted.
"""

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol


@dataclass(frozen=True)
class Mount:
    """A host path seen inside. Read-only unless `writable`; a writable mount is a private directory of this sandbox."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True)
class SandboxSpec:
    """What the sandbox shows and allows. The base system, /proc, a private /tmp and a minimal /dev are always there."""

    cwd: str
    mounts: tuple[Mount, ...] = ()
    masked: tuple[str, ...] = ()
    """Inside paths that are covered by an empty directory (gold answers under a mounted package). Absent ones are
    no error."""
    env: dict[str, str] = field(default_factory=dict)
    """The whole environment, beside the `$HOST` and `$PORT` that the back end adds: nothing is inherited."""
    cpus: tuple[int, ...] | None = None
    """Host core numbers the processes are pinned to (best effort against a hostile process; recorded)."""
    memory_bytes: int | None = None
    """Best effort: recorded in `limits` whether the kernel enforces it."""
    max_processes: int | None = None
    """Threads count as processes. Best effort, like `memory_bytes`."""
    disk_bytes: int | None = None
    """What the writable mounts may hold together; a sandbox that writes more is ended."""
    gpus: tuple[int, ...] = ()
    port: int | None = None
    """Port the server is told to listen on. None: the back end chooses (see `SandboxProcess.port`)."""
    gateway_port: int | None = None
    """Port of the sandbox's loopback on which the harness itself listens, from before the command's first instruction
    (see `SandboxProcess.take_gateway`): the only way out of a sandbox, to whatever the harness answers there."""


def writable(spec: SandboxSpec) -> list[str]:
    """Host directories that the sandbox may write to."""
    return [str(mount.source.resolve()) for mount in spec.mounts if mount.writable]


@dataclass(frozen=True)
class Probe:
    """Whether a back end works on this machine, found by running it."""

    ok: bool
    detail: str
    """Version when it works, else the reason."""
    remedy: str = ""
    """The exact command or setting that would make it work."""


@dataclass(frozen=True)
class KillReport:
    """What the end of a sandbox left behind; all zero on success."""

    survivors: tuple[int, ...]
    """Host pids still alive after the kill."""
    killed: int
    """Processes that were alive when the kill began."""
    names: tuple[str, ...] | None = None
    """Host names that programs inside asked for and were told do not exist; None: nobody listened."""
    unrouted: int | None = None
    """How often something was to be sent to an address that no route leads to; None: nobody counts."""


class ForeignListenerError(ConnectionError):
    """The port is held by a process that is not of this sandbox: what it answers proves nothing."""


class SandboxProcess(Protocol):
    """A running sandbox. All methods may be called from any thread."""

    @property
    def pid(self) -> int:
        """Host pid of the outermost process we started."""

    @property
    def port(self) -> int:
        """The port the server inside must listen on, equal to `$PORT` inside."""

    @property
    def limits(self) -> dict[str, str]:
        """Which limit is enforced by what: `{"cpus": "affinity", "memory": "cgroup v1"}` or `"not enforced: why"`."""

    def poll(self) -> int | None:
        """Exit code of the command, or None while it runs.

        Negative: killed by that signal; a shell's `128 + signal` is given in the same way. 127: no such program."""

    def connect(self, timeout_s: float = 5.0) -> socket.socket:
        """A connected TCP socket to `port` inside the sandbox, TCP_NODELAY set.

        Raises ConnectionError or TimeoutError when nothing listens there, ForeignListenerError when what listens is
        not of this sandbox."""

    def take_gateway(self) -> socket.socket:
        """The listening socket of `SandboxSpec.gateway_port`; the caller's to close, and only once.

        Raises InfrastructureError when none was asked for, or it was taken."""

    def unrouted(self) -> int | None:
        """How often, so far, something inside was to go where no route leads. None: this back end does not count."""

    def pids(self) -> tuple[int, ...]:
        """Host pids of every living process inside, the wall's own not counted."""

    def terminate(self, grace_s: float = 0.0) -> KillReport:
        """SIGTERM, `grace_s` of grace, then SIGKILL for the whole tree, daemons included. Idempotent.

        On return no process, mount or namespace of the sandbox is left, or the report names the survivors."""


class Sandbox(Protocol):
    """A back end. `verified` is False where isolation is not real: such runs are measured but never ranked."""

    name: str
    verified: bool

    def probe(self) -> Probe:
        """Whether this back end works here, by really starting it once."""

    def start(self, spec: SandboxSpec, argv: list[str], stdout: IO[bytes], stderr: IO[bytes]) -> SandboxProcess:
        """Start `argv` inside. stdin is /dev/null. `$HOST` and `$PORT` are added to the environment.

        Raises InfrastructureError when the sandbox itself cannot be set up."""
