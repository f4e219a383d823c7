"""The connections of a run: the slots under the cap, who is idle, and the poller that watches them."""

import select
import ssl
import sys
from collections.abc import Callable
from socket import socket

from inferencebench.load.connect import Connector, Opened, open_one
from inferencebench.load.slot import Slot

POLL_IN, POLL_OUT = 1, 4
"""select.POLLIN and POLLOUT; epoll's have the same values."""


class Pool:
    """`size` slots with their connections, on epoll where the system has it (and `portable` does not forbid it)."""

    def __init__(self, connect: Callable[[], socket], size: int, portable: bool) -> None:
        self.epoll = sys.platform == "linux" and not portable
        self.slots = [Slot(index) for index in range(size)]
        self.by_fd: dict[int, Slot] = {}
        self.idle: list[Slot] = []
        self.connects_s: list[float] = []
        self.failures = 0
        """Failed connects since the last good one."""
        self._connect = connect
        self._connector = Connector(connect)
        self._poller = select.epoll() if self.epoll else select.poll()
        self._poller.register(self._connector.fd, POLL_IN)

    def open(self, slot: Slot) -> Opened:
        """Connect here and now: before the run."""
        return open_one(slot.index, self._connect)

    def want(self, slot: Slot) -> None:
        """Connect beside the loop; `opened` gives the outcome."""
        if not slot.opening:
            slot.opening = True
            self._connector.want(slot.index)

    def opened(self) -> list[Opened]:
        """Outcomes of `want` since the last call."""
        return self._connector.take()

    def adopt(self, opened: Opened, now_ns: int) -> Slot:
        """Give a slot its new connection, or count the failure; the slot is idle afterwards unless it is busy."""
        slot = self.slots[opened.slot]
        slot.opening = False
        if opened.sock is None:
            self.failures += 1
            return slot
        self.failures = 0
        self.connects_s.append(opened.seconds)
        slot.adopt(opened.sock, opened.seconds, now_ns)
        self.by_fd[slot.fd] = slot
        self._poller.register(slot.fd, POLL_IN)
        if not slot.busy:
            self.idle.append(slot)
        return slot

    def watch(self, slot: Slot) -> None:
        """Watch for room to write as well, as long as the slot has something unsent."""
        self._poller.modify(slot.fd, POLL_IN | POLL_OUT if slot.unsent else POLL_IN)

    def disconnect(self, slot: Slot) -> None:
        """Close a slot's connection. Unregistered first: a duplicate in another process would keep epoll watching."""
        if slot in self.idle:
            self.idle.remove(slot)
        if self.by_fd.pop(slot.fd, None) is not None:
            self._poller.unregister(slot.fd)
        slot.drop()

    def encrypted(self) -> bool:
        """Whether the connections are TLS, where kernel stamps do not belong to the bytes we read."""
        return any(isinstance(slot.sock, ssl.SSLSocket) for slot in self.slots)

    def poll(self, milliseconds: int) -> list[tuple[int, int]]:
        """(fd, events) of what is ready. An fd without a slot is the connector's."""
        # epoll takes seconds and rounds up to milliseconds: half a millisecond less lands on the wanted one.
        return self._poller.poll(max(0.0, milliseconds - 0.5) / 1000 if self.epoll else milliseconds)

    def close(self) -> None:
        """Close every socket, also those being opened."""
        for slot in self.slots:
            slot.drop()
        self._connector.close()
        if isinstance(self._poller, select.epoll):
            self._poller.close()
