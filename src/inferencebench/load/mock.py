"""A mock OpenAI server with an exact schedule and its own record of when it really sent: the load client's ruler.

It runs as a process of its own (`MockServer`), speaks true HTTP/1.1 and SSE, and can misbehave in every way that a
client must survive. Request number i (in order of arrival) gets `behaviours[i % len(behaviours)]`.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import NamedTuple, Self

from inferencebench.errors import InfrastructureError
from inferencebench.load.model import Target
from inferencebench.load.wire import tcp_target

BEHAVIOURS = (
    "ok",
    "close-after",
    "drop-after",
    "role-event-first",
    "json",
    "http500",
    "stall",
    "reset",
    "trickle",
    "garbage",
    "never-end",
    "truncate",
)
"""ok: `max_tokens` chunks, then usage and `[DONE]`. close-after: the same and `Connection: close`. drop-after: the
same and a close that no header told. role-event-first: ok after an immediate role-only event and a keep-alive comment.
json: one object at the end of the schedule. http500. stall: a head, then nothing. reset: RST after half of the chunks.
trickle: one byte per 50 ms. garbage: not HTTP. never-end: chunks without an end. truncate: an orderly close after half
of the chunks."""


@dataclass(frozen=True)
class MockConfig:
    """What the mock does. The first chunk is due `ttft_s` after the request's last byte, the others `gap_s` apart."""

    ttft_s: float = 0.05
    gap_s: float = 0.005
    behaviours: tuple[str, ...] = ("ok",)
    cpu: int | None = None
    """Core it is pinned to."""


class MockRequest(NamedTuple):
    """The mock's record of one request, CLOCK_MONOTONIC nanoseconds. The reply's text starts with ` r<number>`."""

    number: int
    behaviour: str
    received_ns: int
    """Kernel receive time of the request's last byte."""
    sent_ns: list[int]
    """Just before the write of each content chunk."""


class MockServer:
    """The mock as a child process, for `with`. `stop` ends it and returns its record."""

    def __init__(self, config: MockConfig = MockConfig()) -> None:
        unknown = set(config.behaviours) - set(BEHAVIOURS)
        if unknown:
            raise ValueError(f"mock behaviour {unknown.pop()!r}: expected one of {', '.join(BEHAVIOURS)}")
        argv = [sys.executable, "-m", "inferencebench.load.mock_server", json.dumps(asdict(config))]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise InfrastructureError(f"the mock server did not start: exit code {self._process.wait()}")
        self.port = int(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        """Process id of the mock."""
        return self._process.pid

    def target(self) -> Target:
        """How the client reaches it."""
        return tcp_target("127.0.0.1", self.port)

    def stop(self) -> list[MockRequest]:
        """End the process; its record, in order of arrival."""
        self._process.send_signal(signal.SIGTERM)
        output, _ = self._process.communicate(timeout=30)
        return [MockRequest(*row) for row in json.loads(output)]


def request_number(text: str) -> int:
    """The mock's request number from a reply's text."""
    return int(text.split()[0].removeprefix("r"))


def pin(cpu: int | None) -> None:
    """Keep this process on one core, where the system can."""
    if cpu is not None and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {cpu})


def words(texts: Sequence[str]) -> list[int]:
    """A `count_tokens` for the mock's replies: one token per word, as it sends them."""
    return [len(text.split()) for text in texts]


def listen() -> socket.socket:
    """A listening socket on a free loopback port."""
    return socket.create_server(("127.0.0.1", 0), backlog=1024)
