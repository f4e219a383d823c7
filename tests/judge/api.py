"""A scripted server with the true wire formats of Anthropic's messages and OpenAI's chat completions."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from inferencebench.gates.judge.model import Label


def opinion(present: dict[Label, list[dict[str, Any]]]) -> dict[str, Any]:
    """An answer in which these labels are present with these quotes."""
    findings = [
        {"label": label.value, "present": label in present, "quotes": present.get(label, []), "explanation": "seen"}
        for label in Label
    ]
    return {"findings": findings}


class Api:
    """Answers each request by the next step of its script; the last step repeats."""

    def __init__(self, *steps: Any) -> None:
        self.steps, self.requests = list(steps), list[dict[str, Any]]()
        self.url = ""

    def next_step(self) -> Any:
        return self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]


def anthropic_message(content: list[dict[str, Any]], stop: str = "tool_use") -> dict[str, Any]:
    usage = {"input_tokens": 900, "output_tokens": 120}
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "judge", "content": content,
        "stop_reason": stop, "stop_sequence": None, "usage": usage,
    }  # fmt: skip


def openai_completion(content: str | None, refusal: str | None = None, finish: str = "stop") -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "refusal": refusal}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "judge",
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 120, "total_tokens": 1020},
    }  # fmt: skip


@contextmanager
def serving(api: Api) -> Iterator[Api]:
    """The API under `api.url`. A step is a JSON body, an (HTTP status, body) pair, or raw bytes."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.requests.append({"path": self.path, "headers": dict(self.headers), "body": body})
            step = api.next_step()
            status, answer = step if isinstance(step, tuple) else (200, step)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("retry-after-ms", "10")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *ignored: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
