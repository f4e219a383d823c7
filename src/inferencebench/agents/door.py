"""The door of an agent's sandbox: one listening socket on its loopback, and what may be reached through it.

The model's API always, where the agent has one (`proxy.py`). Under the network conditions it is a web proxy too
(`CONNECT host:443`, `GET http://host/…`): for package registries alone (`mirror`) or for the public web (`open`). Names
are resolved out here, addresses of this host and of private networks are refused, and every connection leaves a line.
"""

import asyncio
import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from inferencebench.agents.network import Rules, Target, read_head
from inferencebench.agents.proxy import Gateway, answering
from inferencebench.errors import InfrastructureError
from inferencebench.files import canonical_json
from inferencebench.run.clock import Clock
from inferencebench.run.spec import Net
from inferencebench.suites.model import Record

PORT = 4180
LOG = "network.jsonl"
MAX_HEAD_BYTES = 64 << 10
HEAD_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 20.0
START_TIMEOUT_S = 20.0
MAX_CONNECTIONS = 256
BLOCK = 1 << 16


class Visit(Record):
    """One connection through the door, or the refusal of one: a line of `network.jsonl`."""

    at_s: float
    """Seconds since the start of the session."""
    seconds: float
    host: str
    port: int
    refused: str | None = None
    error: str | None = None
    sent_bytes: int = 0
    received_bytes: int = 0


def inside_port(own_network: bool) -> int:
    """Where the door is, inside: always the same where a sandbox has a network of its own, else a free port."""
    if own_network:
        return PORT
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def opened(
    listener: socket.socket, net: Net, gateway: Gateway | None, clock: Clock, log: Path, port: int = PORT
) -> Iterator[None]:
    """Answer on `listener` while the body runs; then it is closed, with all connections.

    Raises InfrastructureError when nobody can answer there."""
    if net == "none" and gateway is not None:
        with answering(gateway, listener):
            yield
        return
    with contextlib.ExitStack() as stack:
        inner: Path | None = None
        if gateway is not None:
            inner = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inferencebench-"))) / "model.sock"
            private = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            private.bind(str(inner))
            private.listen(128)
            stack.enter_context(answering(gateway, private))
        door = Door(net, inner, clock, log, port)
        stack.enter_context(door.serving(listener))
        yield


class Door:
    """Looks at the head of each connection and leads it on, or refuses it."""

    def __init__(self, net: Net, inner: Path | None, clock: Clock, log: Path, port: int) -> None:
        """`inner`: the socket of the model's proxy; `port`: of the door itself, inside."""
        self._rules, self._inner, self._clock, self._log, self._port = Rules(net), inner, clock, log, port
        self._open = 0

    @contextlib.contextmanager
    def serving(self, listener: socket.socket) -> Iterator[None]:
        """Serve in a thread of its own while the body runs."""
        started = threading.Event()
        loop: asyncio.AbstractEventLoop
        stop: asyncio.Event

        async def serve() -> None:
            nonlocal loop, stop
            loop, stop = asyncio.get_running_loop(), asyncio.Event()
            server = await asyncio.start_server(self._handle, sock=listener, limit=MAX_HEAD_BYTES)
            started.set()
            await stop.wait()
            server.close()

        thread = threading.Thread(target=asyncio.run, args=(serve(),), name="agent-door", daemon=True)
        thread.start()
        try:
            if not started.wait(START_TIMEOUT_S):
                raise InfrastructureError("the agent's web proxy did not start")
            yield
            loop.call_soon_threadsafe(stop.set)
        finally:
            thread.join(timeout=10)
            listener.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open > MAX_CONNECTIONS:
                await _answer(writer, 503, "too many connections")
                return
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
            target = read_head(head)
            if target is None or self._is_door(target):
                await self._inside(reader, writer, head if target is None else target.first, target)
            else:
                await self._outside(reader, writer, target)
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._open -= 1
            writer.close()

    def _is_door(self, target: Target) -> bool:
        """Some clients send what is meant for the door itself through the proxy."""
        return target.host in ("127.0.0.1", "localhost") and target.port == self._port

    async def _inside(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes, target: Target | None
    ) -> None:
        """To the model's proxy."""
        if self._inner is None:
            await _answer(writer, 404, "there is no model here, only a web proxy")
            return
        there = await asyncio.open_unix_connection(str(self._inner))
        if target is not None and target.tunnel:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await _join(reader, writer, *there, first)

    async def _outside(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Target) -> None:
        """To the web, if the condition and the address allow it."""
        began = self._clock.elapsed_s
        refused, error, sent, received = self._rules.refusal(target), None, 0, 0
        try:
            addresses = [] if refused else await self._resolve(target)
            if not refused and not addresses:
                refused = "no public address of that name"
            if refused:
                await _answer(writer, 403, refused)
                return
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                there = await asyncio.open_connection(addresses[0], target.port)
            if target.tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            sent, received = await _join(reader, writer, *there, target.first)
        except (OSError, TimeoutError) as failed:
            error = type(failed).__name__
            await _answer(writer, 502, f"{target.host}: {error}")
        finally:
            visit = Visit(
                at_s=round(began, 3),
                seconds=round(self._clock.elapsed_s - began, 3),
                host=target.host[:200],
                port=target.port,
                refused=refused,
                error=error,
                sent_bytes=sent,
                received_bytes=received,
            )
            with self._log.open("ab") as file:
                file.write(canonical_json(visit) + b"\n")

    async def _resolve(self, target: Target) -> Sequence[str]:
        """The public addresses of a name; the connection goes to what was checked here."""
        try:
            rows = await asyncio.get_running_loop().getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return []
        found = [str(row[4][0]) for row in rows]
        return [address for address in found if self._rules.public(address)]


async def _answer(writer: asyncio.StreamWriter, status: int, reason: str) -> None:
    body = f"inferencebench: {reason}\n".encode("ascii", "replace")
    head = f"HTTP/1.1 {status} Refused\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    with contextlib.suppress(OSError):
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        await writer.drain()


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
    first: bytes,
) -> tuple[int, int]:
    """Copy both ways until both sides have ended; gives the bytes sent and received."""
    try:
        far_writer.write(first)
        sent, received = await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        return len(first) + sent, received
    finally:
        far_writer.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> int:
    count = 0
    with contextlib.suppress(OSError):
        while data := await source.read(BLOCK):
            count += len(data)
            target.write(data)
            await target.drain()
    with contextlib.suppress(OSError, RuntimeError):
        if target.can_write_eof():
            target.write_eof()
    return count
