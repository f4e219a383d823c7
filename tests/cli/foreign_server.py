"""A server that is not ours: asyncio, its own log of what it sent when, and habits that real servers have."""

import asyncio
import contextlib
import json
import threading
import time
from types import TracebackType
from typing import Any, NamedTuple, Self


class Sent(NamedTuple):
    """One reply: the prompt's last word, when the request was read, and when each content chunk was written (s)."""

    prompt: str
    received_s: float
    chunks_s: list[float]


class ForeignServer:
    """Serves `tokens` chunks, the first after `ttft_s`, in a thread of this process."""

    def __init__(
        self,
        *,
        ttft_s: float = 0.05,
        gap_s: float = 0.005,
        role_first: bool = False,
        status: int = 200,
        models: bool = True,
        idle_close_s: float | None = None,
    ) -> None:
        self._ttft_s, self._gap_s, self._role_first = ttft_s, gap_s, role_first
        self._status, self._models, self._idle_close_s = status, models, idle_close_s
        self.log: list[Sent] = []
        self.models_asked: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _serve(self) -> None:
        self._loop.run_until_complete(self._main())

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            while True:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), self._idle_close_s)
                lines = head.lower().split(b"\r\n")
                length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
                body = await reader.readexactly(length)
                await self._answer(head, body, writer)
        writer.close()

    async def _answer(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        if self._status != 200 or (head.startswith(b"GET") and not self._models):
            writer.write(b"HTTP/1.1 %d Sorry\r\nContent-Length: 2\r\n\r\nno" % (self._status if self._models else 404))
        elif head.startswith(b"GET"):
            listed = b'{"data": [{"id": "theirs"}]}'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(listed), listed))
        else:
            await self._stream(json.loads(body), writer)

    async def _stream(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        start = time.monotonic()
        sent = Sent(asked["messages"][-1]["content"].split()[-1], start, [])
        self.log.append(sent)
        self.models_asked.append(asked["model"])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        if self._role_first:
            self._event(writer, {"role": "assistant", "content": ""})
        for i in range(asked["max_tokens"]):
            await asyncio.sleep(start + self._ttft_s + i * self._gap_s - time.monotonic())
            sent.chunks_s.append(time.monotonic())
            self._event(writer, {"content": f" w{i}"})
        self._write(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")

    def _event(self, writer: asyncio.StreamWriter, delta: dict[str, str]) -> None:
        value = {"choices": [{"index": 0, "delta": delta}]}
        self._write(writer, b"data: " + json.dumps(value).encode() + b"\n\n")

    def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))
