"""The client's fallback as it might have been: asyncio.Protocol on uvloop, with the same recorder and the same parser.

It stands beside the real fallback, the client's own loop over `select.poll`: the choice between them is measured.
"""

import asyncio
import time

import uvloop

from inferencebench.load.http import ResponseEnd
from inferencebench.load.model import Exchange, LoadPlan, PlannedRequest, Recording, Target
from inferencebench.load.quiet import no_collection
from inferencebench.load.wire import request_head


class Stream(asyncio.Protocol):
    """One connection and its one request: every read is appended with its time, nothing else."""

    def __init__(self, request: PlannedRequest, done: "asyncio.Future[None]") -> None:
        self.exchange = Exchange(request.id, 0.0, request.max_tokens, request.prompt_tokens, attempts=1)
        self._end = ResponseEnd()
        self._done = done
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = transport  # type: ignore[assignment]

    def send(self, data: bytes) -> None:
        """Write the request, stamped just before."""
        assert self._transport is not None
        self.exchange.due_ns = self.exchange.sent_ns = time.monotonic_ns()
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        now, exchange = time.monotonic_ns(), self.exchange
        raw = exchange.raw
        raw += data
        exchange.kernel_ns.append(0)
        exchange.user_ns.append(now)
        exchange.ends.append(len(raw))
        if self._end.reached(raw):
            exchange.ended_ns = now
            self._done.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self._done.done():
            self.exchange.error = "closed early"
            self._done.set_result(None)


async def _receive(target: Target, plan: LoadPlan) -> tuple[int, list[Exchange]]:
    loop = asyncio.get_running_loop()
    streams, ends = [], []
    for request in plan.requests:
        done = loop.create_future()
        sock = target.connect()
        sock.setblocking(False)
        _, stream = await loop.create_connection(lambda r=request, d=done: Stream(r, d), sock=sock)  # type: ignore[misc]
        streams.append(stream)
        ends.append(done)
    start = time.monotonic_ns()
    for request, stream in zip(plan.requests, streams, strict=True):
        stream.send(request_head(target, len(request.body)) + request.body)
    await asyncio.gather(*ends)
    return start, [stream.exchange for stream in streams]


def run(target: Target, plan: LoadPlan) -> Recording:
    """Receive one plan."""
    with no_collection():
        start, exchanges = uvloop.run(_receive(target, plan))
    return Recording("asyncio.Protocol+uvloop", plan.profile, start, tuple(exchanges), (), 0.0, 0)
