"""What the fixtures share: a small HTTP front before a real engine on another port of the same sandbox.

A fixture gives `run` a function that answers one request. `Engine.stream` is the honest part; what the function does
beside it is the cheat.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

Body = dict[str, Any]
MODEL_PATH, MODEL_ID = os.environ["MODEL_PATH"], os.environ["MODEL_ID"]
HERE = Path(__file__).parent
ENGINE = "pytorch" if Path("/dev/nvidiactl").exists() else "llamacpp"
"""The engine behind a cheat: llama.cpp's wheel is a CPU build."""


class Piece(NamedTuple):
    """One event of an engine's stream."""

    text: str
    finish: str | None
    usage: dict[str, int] | None


class Engine:
    """A real engine on a loopback port of its own."""

    def __init__(self, port: int, *options: str, module: str = ENGINE, model: str | Path = MODEL_PATH) -> None:
        self.port = port
        serve = [os.environ["IB_PYTHON"], "-m", f"inferencebench.engines.{module}", "serve", "--model", str(model)]
        self.process = subprocess.Popen(
            [*serve, "--served-name", MODEL_ID, "--host", "127.0.0.1", "--port", str(port), *options]
        )

    def _open(self, method: str, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        return connection.getresponse()

    def ready(self) -> bool:
        """Whether it answers; the end of its process ends the whole server."""
        if self.process.poll() is not None:
            os._exit(self.process.returncode or 1)
        try:
            return self._open("GET", "/v1/models").status == 200
        except OSError:
            return False

    def stream(self, body: Body) -> Iterator[Piece]:
        """The pieces of the engine's answer as they come."""
        response = self._open("POST", "/v1/chat/completions", json.dumps(body).encode())
        if response.status != 200:
            raise RuntimeError(f"engine: {response.status} {response.read(300)!r}")
        while line := response.readline():
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            choice = (event.get("choices") or [{}])[0]
            text = (choice.get("delta") or {}).get("content") or ""
            yield Piece(text, choice.get("finish_reason"), event.get("usage"))


class Reply:
    """One streamed answer, written event by event."""

    def __init__(self, wfile: Any) -> None:
        self._wfile = wfile

    def _event(self, value: dict[str, Any]) -> None:
        data = b"data: " + json.dumps({"object": "chat.completion.chunk", "model": MODEL_ID, **value}).encode()
        self._chunk(data + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self._wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self._wfile.flush()

    def text(self, text: str) -> None:
        """One content chunk."""
        self._event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})

    def end(self, finish: str, prompt_tokens: int | None = None, completion_tokens: int = 0) -> None:
        """Finish reason and usage; without `prompt_tokens` no usage is reported."""
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        if prompt_tokens is None:
            return
        counts = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
        self._event({"choices": [], "usage": {**counts, "total_tokens": prompt_tokens + completion_tokens}})

    def close(self) -> None:
        """The end of the stream."""
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def relay(self, pieces: Iterator[Piece]) -> None:
        """Pass an engine's answer on unchanged."""
        finish, usage = "stop", dict[str, int]()
        for piece in pieces:
            if piece.text:
                self.text(piece.text)
            finish, usage = piece.finish or finish, piece.usage or usage
        self.end(finish, usage.get("prompt_tokens"), usage.get("completion_tokens", 0))


def run(answer: Callable[[Body, Reply], None], *engines: Engine) -> None:
    """Serve in the foreground; ready when all engines are."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *args: object) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            status = 200 if all(engine.ready() for engine in engines) else 503
            data = json.dumps({"object": "list", "data": [{"id": MODEL_ID, "object": "model"}]}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            reply = Reply(self.wfile)
            answer(body, reply)
            reply.close()

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server((os.environ["HOST"], int(os.environ["PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.serve_forever()


def prompt(body: Body) -> str:
    """The last message."""
    return str(body["messages"][-1]["content"])


def is_question(body: Body) -> bool:
    """How a cheat tells the quality gate's questions from timed traffic: only the latter forces its length."""
    return not body.get("ignore_eos")


def without_layers(first: int = 10, last: int = 14) -> Path:
    """A cheaper model: the base model without the decoder layers `first` to `last - 1`, written at start."""
    from inferencebench.models.surgery import drop_layers

    out = Path("/tmp/cheaper")
    drop_layers(Path(MODEL_PATH), out, range(first, last))
    return out


def say(what: str) -> None:
    """Tell the runner of the zoo, in the server's log, what became of an attempt: `stopped: …` or `succeeded: …`."""
    print(f"zoo {what}", file=sys.stderr, flush=True)


def pause(seconds: float) -> None:
    """Sleep; fixtures pace made-up tokens with it."""
    time.sleep(seconds)
