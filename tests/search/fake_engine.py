"""An engine that is a real process and serves at once, in as many ways as it takes to be searched."""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from inferencebench.engines.contract import Availability, Fatal, Startup
from inferencebench.engines.packaged import launcher_text

MODES = ("crash", "hang", "stall", "wrong", "fast")
TOKEN_MS = {"wrong": 2, "fast": 4}
"""By mode; the others take 8."""


def space_text(modes: Sequence[str]) -> str:
    """A space so small that a search has tried all of it long before its budget is over, on a slow machine too."""
    presets = ", ".join(f"{{mode: {mode}}}" for mode in modes)
    return f"""
name: fake
engine: fake
parameters: [{{name: mode, type: categorical, values: [{", ".join(modes)}], flag: --mode}}]
presets: {{decode: [{presets}]}}
"""


class FakeEngine:
    """The adapter."""

    name = "fake"
    # In production 60 s of silence is a hang: the rule is the same.
    startup = Startup(ready_s=30.0, quiet_s=2.0, fatal=(Fatal("CUDA out of memory", "out of memory"),))

    def availability(self) -> Availability:
        return Availability(True, "fake 1")

    def version(self) -> str | None:
        return "1"

    def default_launcher(self) -> str:
        return self.launcher()

    def launcher(self, arguments: Sequence[str] = (), env: Mapping[str, str] | None = None) -> str:
        return launcher_text("fake", {}, env, f'exec "$IB_PYTHON" {Path(__file__).resolve()}', "", arguments)

    def help_argv(self) -> list[str]:
        return []


def _serve(mode: str) -> None:
    if mode == "hang":
        time.sleep(600)
    if mode == "crash":
        # A line that says so, and a process that stays: only the log tells.
        print("RuntimeError: CUDA out of memory", file=sys.stderr, flush=True)
        time.sleep(600)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *args: object) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            self._head("application/json")
            self._chunk(json.dumps({"data": [{"id": os.environ["MODEL_ID"]}]}).encode())
            self._chunk(b"")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if mode == "stall":
                time.sleep(600)
            self._head("text/event-stream")
            word = "no" if mode == "wrong" else body["messages"][-1]["content"][-3:]
            for _ in range(body["max_tokens"]):
                time.sleep(TOKEN_MS.get(mode, 8) / 1000)
                self._event({"choices": [{"index": 0, "delta": {"content": f" {word}"}}]})
            self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
            self._event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": body["max_tokens"]}})
            self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")

        def _head(self, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()

        def _event(self, value: object) -> None:
            self._chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

        def _chunk(self, data: bytes) -> None:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

    ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", default="")
    _serve(parser.parse_args().mode)
