"""What all sandboxes that a warden keeps are asked in one way; how their port is reached is each back end's own."""

import socket

from inferencebench.sandbox.contract import KillReport
from inferencebench.sandbox.link import WardenLink


class WardenProcess:
    """A `SandboxProcess` but for `connect`."""

    def __init__(self, link: WardenLink, port: int, limits: dict[str, str]) -> None:
        self._link = link
        self._port = port
        self._limits = limits

    @property
    def pid(self) -> int:
        """Host pid of the outermost process."""
        return self._link.pid

    @property
    def port(self) -> int:
        """What the server inside must listen on."""
        return self._port

    @property
    def limits(self) -> dict[str, str]:
        """Limit to enforcer."""
        return dict(self._limits)

    def poll(self) -> int | None:
        """Exit code, or None while the command runs."""
        return self._link.poll()

    def unrouted(self) -> int | None:
        """Attempts to send where no route leads."""
        return self._link.unrouted()

    def take_gateway(self) -> socket.socket:
        """The harness's listening socket inside."""
        return self._link.take_gateway()

    def pids(self) -> tuple[int, ...]:
        """Host pids inside."""
        return tuple(self._link.members())

    def terminate(self, grace_s: float = 0.0) -> KillReport:
        """End everything inside, daemons included."""
        return self._link.terminate(grace_s)
