"""Logs of a server: all it prints up to a cap, then only the newest part, so that no server can fill the disk."""

import contextlib
import os
import selectors
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO

CAP_BYTES = 50 << 20
TAIL_BYTES = 64 << 10
DRAIN_BYTES_PER_S = 16 << 20
"""How fast a stream over its cap is read on: an honest server never waits, a flood does not eat the harness's core."""
BLOCK = 64 << 10


class _Stream:
    """One stream: a file with the first `cap` bytes, and the newest bytes in memory."""

    def __init__(self, path: Path, cap: int) -> None:
        self.file = path.open("wb", buffering=0)
        self.cap = cap
        self.written = 0
        self.dropped = 0
        self.tail: deque[bytes] = deque(maxlen=max(1, TAIL_BYTES // BLOCK) + 1)

    def add(self, data: bytes) -> None:
        kept = data[: self.cap - self.written]
        if kept:
            self.file.write(kept)
            self.written += len(kept)
        self.dropped += len(data) - len(kept)
        if self.tail and len(self.tail[-1]) + len(data) <= BLOCK:
            self.tail[-1] += data
        else:
            self.tail.append(data)

    def newest(self) -> bytes:
        return b"".join(list(self.tail))[-TAIL_BYTES:]

    def close(self) -> None:
        if self.dropped:
            newest = self.newest()[-self.dropped :]
            self.file.write(b"\n[%d bytes left out here]\n" % (self.dropped - len(newest)) + newest)
        self.file.close()


class LogPump:
    """Copies pipes into capped files from one thread. `writers` go to the server; call `release` once it has them."""

    def __init__(self, paths: list[Path], cap_bytes: int = CAP_BYTES) -> None:
        self._streams = [_Stream(path, cap_bytes) for path in paths]
        pipes = [os.pipe() for _ in paths]
        self._readers = [reader for reader, _ in pipes]
        self.writers: list[IO[bytes]] = [os.fdopen(writer, "wb", buffering=0) for _, writer in pipes]
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="server-log", daemon=True)

    def start(self) -> None:
        """Begin to copy."""
        self._thread.start()

    def release(self) -> None:
        """Close our own copies of the writing ends, so that the pipes end with the server."""
        for writer in self.writers:
            writer.close()

    def close(self, timeout_s: float = 2.0) -> None:
        """Copy what is still in the pipes, then close the files. Idempotent. Call when the server has ended."""
        self.release()
        self._thread.join(timeout_s)
        self._stop.set()
        self._thread.join()

    def tail(self, lines: int) -> str:
        """The newest lines, standard error's after standard output's."""
        with self._lock:
            newest = [stream.newest() for stream in self._streams]
        texts = [data.decode(errors="replace").splitlines()[-lines:] for data in newest]
        return "\n".join(line for text in texts for line in text)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for reader, stream in zip(self._readers, self._streams, strict=True):
                os.set_blocking(reader, False)
                selector.register(reader, selectors.EVENT_READ, stream)
            while selector.get_map() and not self._stop.is_set():
                for key, _ in selector.select(timeout=0.2):
                    data = b""
                    with contextlib.suppress(BlockingIOError):
                        data = os.read(key.fd, BLOCK)
                    if not data:
                        selector.unregister(key.fd)
                        continue
                    with self._lock:
                        key.data.add(data)
                    if key.data.dropped:
                        time.sleep(len(data) / DRAIN_BYTES_PER_S)
        for reader, stream in zip(self._readers, self._streams, strict=True):
            os.close(reader)
            stream.close()
