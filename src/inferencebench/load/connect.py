"""Opening connections: all before the run, and replacements beside it, so that no connect stalls the loop."""

import contextlib
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from inferencebench.load.clock import SO_TIMESTAMPNS


class Opened(NamedTuple):
    """The outcome of one connect for slot `slot`: a socket, or why there is none."""

    slot: int
    sock: socket.socket | None
    seconds: float
    error: str | None


def open_one(slot: int, connect: Callable[[], socket.socket]) -> Opened:
    """Connect once, make the socket non-blocking, and ask the kernel for receive stamps where it can give them."""
    start = time.monotonic_ns()
    try:
        sock = connect()
    except OSError as error:
        return Opened(slot, None, _seconds(start), f"connect: {reason(error)}")
    seconds = _seconds(start)
    sock.setblocking(False)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return Opened(slot, sock, seconds, None)


def _seconds(start_ns: int) -> float:
    return (time.monotonic_ns() - start_ns) / 1e9


def reason(error: OSError) -> str:
    """A short, stable name of a socket error."""
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "reset"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, TimeoutError):
        return "timed out"
    return (error.strerror or type(error).__name__).lower()


class Connector:
    """A thread that opens replacement connections; `fd` becomes readable when some are ready to be taken."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._wanted: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[Opened] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self.fd, self._wake = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._wake, False)

    def want(self, slot: int) -> None:
        """Ask for a connection for `slot`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="load-connector", daemon=True)
            self._thread.start()
        self._wanted.put(slot)

    def take(self) -> list[Opened]:
        """What has been opened since the last call."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 4096)
        ready = []
        with contextlib.suppress(queue.Empty):
            while True:
                ready.append(self._ready.get_nowait())
        return ready

    def close(self) -> None:
        """Stop the thread, after the connect it may be in, and close every socket that nobody took."""
        self._closed = True
        if self._thread is not None:
            self._wanted.put(None)
            self._thread.join()
        for opened in self.take():
            if opened.sock is not None:
                opened.sock.close()
        os.close(self.fd)
        os.close(self._wake)

    def _work(self) -> None:
        while (slot := self._wanted.get()) is not None and not self._closed:
            self._ready.put(open_one(slot, self._connect))
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake, b"1")
