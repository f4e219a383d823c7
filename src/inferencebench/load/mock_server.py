"""The process behind `MockServer`: one epoll loop over a heap of due writes. Linux only.

Prints its port on the first line of stdout, and on SIGTERM its record as JSON.
"""

import contextlib
import heapq
import json
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from inferencebench.load.clock import SO_TIMESTAMPNS, TIMESPEC, realtime_minus_monotonic_ns
from inferencebench.load.mock import MockConfig, MockRequest, listen, pin
from inferencebench.load.pace import wait

_IDLE_NS = 50_000_000
_RST = struct.pack("ii", 1, 0)
_TRICKLE_S = 0.05
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%s\r\n"
_MODELS_BODY = b'{"object": "list", "data": [{"id": "mock", "object": "model"}]}'
_MODELS = _HEAD % (b"application/json", b"Content-Length: %d\r\n" % len(_MODELS_BODY)) + _MODELS_BODY
"""The answer to every GET, misbehaving or not; not recorded."""
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
DEFAULT_TOKENS = 16
_STREAM = (b"text/event-stream", b"Transfer-Encoding: chunked\r\n")


class Step(NamedTuple):
    """One write, due `at_s` after the request; `content` ones are recorded. `after`: keep, close or reset."""

    at_s: float
    data: bytes
    content: bool = False
    after: str = "keep"


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _event(value: dict[str, Any]) -> bytes:
    return _framed(b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n")


def _chunk(index: int, token: int, delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    base = {"id": f"chatcmpl-{index:032d}", "object": "chat.completion.chunk", "created": 1735689600, "model": "mock"}
    return _event({**base, "choices": [choice]})


def _text(index: int, token: int) -> str:
    return f" r{index}" if token == 0 else f" t{token}"


def script(behaviour: str, index: int, tokens: int, config: MockConfig) -> Iterator[Step]:
    """The writes of one reply."""
    head = Step(0.0, _HEAD % _STREAM)
    if behaviour == "http500":
        yield Step(0.0, b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\nbusy")
    elif behaviour == "garbage":
        yield Step(0.0, b"\x00\x01SSH-2.0-not http\r\n\r\n", after="close")
    elif behaviour == "stall":
        yield head
    elif behaviour == "trickle":
        yield head
        data = b"".join(_chunk(index, i, {"content": _text(index, i)}) for i in range(1000))
        for i in range(len(data)):
            yield Step(_TRICKLE_S * (i + 1), data[i : i + 1])
    elif behaviour == "json":
        yield _json(index, tokens, config)
    else:
        yield from _stream(behaviour, index, tokens, config)


def _json(index: int, tokens: int, config: MockConfig) -> Step:
    message = {"role": "assistant", "content": "".join(_text(index, i) for i in range(tokens))}
    usage = {"prompt_tokens": 1, "completion_tokens": tokens}
    value = {"choices": [{"index": 0, "message": message, "finish_reason": "length"}], "usage": usage}
    body = json.dumps(value).encode()
    head = _HEAD % (b"application/json", b"Content-Length: %d\r\n" % len(body))
    return Step(config.ttft_s + config.gap_s * (tokens - 1), head + body, content=True)


def _stream(behaviour: str, index: int, tokens: int, config: MockConfig) -> Iterator[Step]:
    extra = b"Connection: close\r\n" if behaviour == "close-after" else b""
    yield Step(0.0, _HEAD % (_STREAM[0], _STREAM[1] + extra))
    if behaviour == "role-event-first":
        yield Step(0.0, _chunk(index, 0, {"role": "assistant", "content": ""}) + _framed(b": keep-alive\n\n"))
    token, at = 0, config.ttft_s
    while token < tokens or behaviour == "never-end":
        if token == (tokens + 1) // 2 and behaviour in ("reset", "truncate"):
            yield Step(at, b"", after="reset" if behaviour == "reset" else "close")
            return
        yield Step(at, _chunk(index, token, {"content": _text(index, token)}), content=True)
        token += 1
        at += config.gap_s
    at -= config.gap_s
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
    tail = _chunk(index, token, {}, "length") + _event({"choices": [], "usage": usage})
    yield Step(
        at,
        tail + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n",
        after="close" if behaviour in ("close-after", "drop-after") else "keep",
    )


class Connection:
    """One accepted connection and the reply it is in."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = bytearray()
        self.steps: Iterator[Step] | None = None
        self.step: Step | None = None
        self.start_ns = 0
        self.sent_ns: list[int] = []
        self.unsent = b""


class Server:
    """Accepts, reads requests, and writes each reply's steps when they are due."""

    def __init__(self, config: MockConfig, listener: socket.socket) -> None:
        self._config, self._listener = config, listener
        self._epoll = select.epoll()
        self._listener.setblocking(False)
        self._epoll.register(listener.fileno(), select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[int, int, Connection]] = []
        self._order = 0
        self._offset_ns = realtime_minus_monotonic_ns()
        self.record: list[MockRequest] = []
        self.stopping = False

    def serve(self) -> None:
        """Until `stopping`."""
        clock, due = time.monotonic_ns, self._due
        while not self.stopping:
            now = clock()
            while due and due[0][0] <= now:
                self._write(heapq.heappop(due)[2])
            next_due = due[0][0] if due else 1 << 62
            for fd, mask in wait(self._poll, clock(), next_due, now + _IDLE_NS, 0):
                connection = self._connections.get(fd)
                if connection is None:
                    self._accept()
                elif mask & select.EPOLLOUT:
                    self._epoll.modify(fd, select.EPOLLIN)
                    self._write(connection)
                else:
                    self._read(connection)

    def _poll(self, milliseconds: int) -> list[tuple[int, int]]:
        return self._epoll.poll(max(0.0, milliseconds - 0.5) / 1000)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                self._connections[sock.fileno()] = Connection(sock)
                self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _read(self, connection: Connection) -> None:
        try:
            data, control, _, _ = connection.sock.recvmsg(1 << 16, 32)
        except BlockingIOError:
            return
        except OSError:
            data, control = b"", []
        if not data:
            self._drop(connection)
            return
        connection.received += data
        head, blank, rest = bytes(connection.received).partition(b"\r\n\r\n")
        body = _body(head, rest) if blank else None
        if body is None:
            return
        connection.received.clear()
        if head.startswith(b"GET "):
            connection.sock.sendall(_MODELS)
            return
        stamp = time.monotonic_ns()
        if control:
            seconds, nanoseconds = TIMESPEC.unpack(control[0][2])
            stamp = seconds * 1_000_000_000 + nanoseconds - self._offset_ns
        try:
            asked = json.loads(body)
            tokens = int(asked.get("max_tokens") or asked.get("max_completion_tokens") or DEFAULT_TOKENS)
        except (ValueError, TypeError, AttributeError):
            connection.sock.sendall(_BAD_REQUEST)
            return
        index = len(self.record)
        behaviour = self._config.behaviours[index % len(self._config.behaviours)]
        connection.start_ns, connection.sent_ns = stamp, []
        self.record.append(MockRequest(index, behaviour, stamp, connection.sent_ns))
        connection.steps = script(behaviour, index, tokens, self._config)
        self._next(connection)

    def _next(self, connection: Connection) -> None:
        assert connection.steps is not None
        connection.step = next(connection.steps, None)
        if connection.step is not None:
            self._order += 1
            at = connection.start_ns + round(connection.step.at_s * 1e9)
            heapq.heappush(self._due, (at, self._order, connection))

    def _write(self, connection: Connection) -> None:
        step = connection.step
        if connection.sock.fileno() < 0 or step is None:
            return
        data = connection.unsent or step.data
        if step.content and not connection.unsent:
            connection.sent_ns.append(time.monotonic_ns())
        try:
            sent = connection.sock.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(connection)
            return
        connection.unsent = data[sent:]
        if connection.unsent:
            self._epoll.modify(connection.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
        elif step.after == "keep":
            self._next(connection)
        else:
            if step.after == "reset":
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self._connections.pop(connection.sock.fileno(), None)
        connection.sock.close()


def _body(head: bytes, rest: bytes) -> bytes | None:
    """A request's body, by its length or its transfer chunks; None while it is incomplete."""
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip() == b"content-length":
            return rest if len(rest) >= int(value) else None
        if name.strip() == b"transfer-encoding" and b"chunked" in value:
            return _joined(rest)
    return b""


def _joined(rest: bytes) -> bytes | None:
    parts: list[bytes] = []
    while rest:
        size, found, rest = rest.partition(b"\r\n")
        length = int(size.partition(b";")[0] or b"0", 16) if found else 0
        if not found or len(rest) < length + 2:
            return None
        if length == 0:
            return b"".join(parts)
        parts.append(rest[:length])
        rest = rest[length + 2 :]
    return None


def main() -> None:
    """Serve by the configuration in argv[1] until SIGTERM."""
    fields = json.loads(sys.argv[1])
    config = MockConfig(**{**fields, "behaviours": tuple(fields["behaviours"])})
    pin(config.cpu)
    listener = listen()
    server = Server(config, listener)

    def stop(_number: int, _frame: object) -> None:
        server.stopping = True

    signal.signal(signal.SIGTERM, stop)
    print(listener.getsockname()[1], flush=True)
    server.serve()
    print(json.dumps(server.record), flush=True)


if __name__ == "__main__":
    main()
