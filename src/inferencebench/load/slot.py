"""One place under the concurrency cap: a connection, and the request that is on it."""

import contextlib
import socket
import ssl
import time

from inferencebench.load.http import ResponseEnd
from inferencebench.load.model import Exchange, PlannedRequest

_BASE_BYTES = 1 << 20
_BYTES_PER_TOKEN = 2048
"""A response may take 1 MiB and 2 KiB per token, where an event is about 250 bytes: a server cannot fill our memory."""

WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Slot:
    """A connection and its request. `busy` while a request is on it; `sock` is None while it is closed."""

    __slots__ = (
        "busy",
        "connect_s",
        "deadline_ns",
        "end",
        "exchange",
        "fd",
        "free_ns",
        "index",
        "limit",
        "opening",
        "request",
        "served",
        "sock",
        "unsent",
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.sock: socket.socket | None = None
        self.fd = -1
        self.connect_s = 0.0
        self.opening = False
        self.served = 0
        self.busy = False
        self.free_ns = 0
        self.request: PlannedRequest | None = None
        self.exchange = Exchange("", 0.0, 0, 0)
        self.end = ResponseEnd()
        self.deadline_ns = 0
        self.limit = 0
        self.unsent = b""

    def adopt(self, sock: socket.socket, connect_s: float, now_ns: int) -> None:
        """Take a fresh connection; the slot is free from now on."""
        self.sock, self.fd = sock, sock.fileno()
        self.connect_s, self.served, self.free_ns = connect_s, 0, now_ns

    def drop(self) -> None:
        """Close the connection, if there is one."""
        if self.sock is not None:
            with contextlib.suppress(OSError):
                self.sock.close()
        self.sock, self.fd = None, -1

    def begin(self, request: PlannedRequest, exchange: Exchange, due_ns: int, timeout_ns: int) -> None:
        """Put a request on the connection; a second attempt keeps the times of the first."""
        self.request, self.exchange, self.busy = request, exchange, True
        self.end = ResponseEnd()
        self.limit = _BASE_BYTES + _BYTES_PER_TOKEN * request.max_tokens
        exchange.attempts += 1
        if exchange.due_ns is None:
            exchange.due_ns = due_ns
            exchange.connect_s = self.connect_s
            exchange.sent_ns = time.monotonic_ns()
        assert exchange.sent_ns is not None
        self.deadline_ns = exchange.sent_ns + timeout_ns

    def write(self, data: bytes) -> None:
        """Write as much as the socket takes; the rest stays in `unsent`. Raises OSError when the peer is gone."""
        assert self.sock is not None
        view = memoryview(data)
        try:
            while view:
                view = view[self.sock.send(view) :]
        except WOULD_BLOCK:
            pass
        self.unsent = bytes(view)

    def release(self, now_ns: int) -> None:
        """The request is over; the slot is free from `now_ns`."""
        self.busy, self.request, self.free_ns, self.unsent = False, None, now_ns, b""
        self.served += 1
