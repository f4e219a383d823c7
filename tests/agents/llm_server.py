"""A scripted model behind four real protocols: Anthropic Messages, OpenAI Responses and Chat Completions, Gemini."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Say(NamedTuple):
    """The model says this and ends its turn."""

    text: str


class Shell(NamedTuple):
    """The model asks for a shell command."""

    command: str


class Fail(NamedTuple):
    """The provider answers with an error status."""

    status: int


class Cut(NamedTuple):
    """The stream breaks in the middle."""


Action = Say | Shell | Fail | Cut
KEY = "sk-real-secret-key-4711"
SHELLS = ("Bash", "shell", "shell_command", "exec_command", "bash", "run_shell_command")


class Model:
    """Takes the next action of its script for every request that offers tools; the last one repeats for ever."""

    def __init__(self, script: list[Action]) -> None:
        self.script, self.calls = script, 0
        self.keys: set[str] = set()
        self.lock = threading.Lock()
        self.url = ""

    def act(self, tools: list[dict[str, Any]]) -> Action:
        with self.lock:
            always = self.script[-1] if isinstance(self.script[-1], Fail) else None
            if not tools:
                return always or Say("ok")
            action = self.script[min(self.calls, len(self.script) - 1)]
            self.calls += 1
            return action


def _arguments(tools: list[dict[str, Any]], command: str) -> tuple[str, dict[str, Any]]:
    """The shell among the tools offered, and the arguments its schema asks for."""
    for tool in tools:
        spec = tool.get("function", tool)
        if spec.get("name") in SHELLS:
            schema = spec.get("input_schema") or spec.get("parameters") or spec.get("parametersJsonSchema") or {}
            properties = schema.get("properties", {})
            name = "cmd" if "cmd" in properties else "command"
            listed = str(properties.get(name, {}).get("type", "")).lower() == "array"
            arguments: dict[str, Any] = {name: ["bash", "-lc", command] if listed else command}
            if "yield_time_ms" in properties:
                arguments["yield_time_ms"] = 30_000  # else a longer command goes on behind the model's back
            if "description" in properties:
                arguments["description"] = "work"
            return spec["name"], arguments
    raise AssertionError(f"no shell among {[t.get('name') for t in tools]}")


def anthropic(action: Action, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    usage = {"input_tokens": 100, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 5, "output_tokens": 1}
    message = {"id": "m1", "type": "message", "role": "assistant", "model": body["model"], "content": [],
               "stop_reason": None, "stop_sequence": None, "usage": usage}  # fmt: skip
    yield {"type": "message_start", "message": message}
    if isinstance(action, Shell):
        name, arguments = _arguments(body["tools"], action.command)
        block = {"type": "tool_use", "id": f"toolu_{time.monotonic_ns()}", "name": name, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
    else:
        block = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": getattr(action, "text", "")}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    if isinstance(action, Cut):
        return
    yield {"type": "content_block_stop", "index": 0}
    stop = "tool_use" if isinstance(action, Shell) else "end_turn"
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": stop, "stop_sequence": None},
        "usage": {"output_tokens": 10},
    }
    yield {"type": "message_stop"}


def responses(action: Action, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "response.created", "response": {"id": "r1"}}
    if isinstance(action, Cut):
        return
    if isinstance(action, Shell):
        name, arguments = _arguments(body["tools"], action.command)
        call_id = f"call_{time.monotonic_ns()}"
        item = {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": name,
                "arguments": json.dumps(arguments)}  # fmt: skip
    else:
        text = [{"type": "output_text", "text": action.text, "annotations": []}]  # type: ignore[union-attr]
        item = {"type": "message", "id": "msg1", "role": "assistant", "status": "completed", "content": text}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    usage = {"input_tokens": 120, "input_tokens_details": {"cached_tokens": 20}, "output_tokens": 10,
             "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 130}  # fmt: skip
    done = {"id": "r1", "object": "response", "status": "completed", "output": [item], "usage": usage}
    yield {"type": "response.completed", "response": done}


def chat(action: Action, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    if isinstance(action, Shell):
        name, arguments = _arguments(body["tools"], action.command)
        call = {"index": 0, "id": f"call_{time.monotonic_ns()}", "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)}}  # fmt: skip
        delta: dict[str, Any] = {"role": "assistant", "tool_calls": [call]}
    else:
        delta = {"role": "assistant", "content": getattr(action, "text", "")}
    yield {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    if isinstance(action, Cut):
        return
    reason = "tool_calls" if isinstance(action, Shell) else "stop"
    yield {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    usage = {"prompt_tokens": 120, "completion_tokens": 10, "total_tokens": 130,
             "prompt_tokens_details": {"cached_tokens": 20}}  # fmt: skip
    yield {**base, "choices": [], "usage": usage}


def gemini(action: Action, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if isinstance(action, Shell):
        tools = [f for tool in body["tools"] for f in tool.get("functionDeclarations", [])]
        name, arguments = _arguments(tools, action.command)
        part: dict[str, Any] = {"functionCall": {"name": name, "args": arguments}}
    else:
        part = {"text": getattr(action, "text", "")}
    content = {"role": "model", "parts": [part]}
    if isinstance(action, Cut):
        yield {"candidates": [{"index": 0, "content": content}]}
        return
    usage = {"promptTokenCount": 120, "cachedContentTokenCount": 20, "candidatesTokenCount": 10, "totalTokenCount": 130}
    yield {"candidates": [{"index": 0, "content": content, "finishReason": "STOP"}], "usageMetadata": usage}


Events = Callable[[Action, dict[str, Any]], Iterator[dict[str, Any]]]
WIRES: dict[str, Events] = {"/v1/messages": anthropic, "/responses": responses, "/chat/completions": chat}


@contextmanager
def scripted(script: list[Action]) -> Iterator[Model]:
    """Serve on loopback while the body runs."""
    model = Model(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            self._json(200, {"data": [], "models": []})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            key = self.headers.get("x-api-key") or self.headers.get("x-goog-api-key") or self.headers["authorization"]
            model.keys.add(key.removeprefix("Bearer "))
            path = self.path.partition("?")[0]
            if "count" in path.lower():
                self._json(200, {"input_tokens": 10, "totalTokens": 10})
                return
            action = model.act(body.get("tools", []))
            if isinstance(action, Fail):
                self._json(
                    action.status, {"type": "error", "error": {"type": "x", "message": f"no: {key}", "code": "x"}}
                )
                return
            events = next((wire for end, wire in WIRES.items() if path.endswith(end)), gemini)
            if events is gemini and not path.endswith(":streamGenerateContent"):
                self._json(200, next(iter(gemini(action, body))))
                return
            if events is anthropic and not body.get("stream"):
                self._json(200, _whole(body))
                return
            self._stream(events, action, body)

        def _stream(self, events: Events, action: Action, body: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for event in events(action, body):
                named = b"event: %s\n" % event["type"].encode() if "type" in event else b""
                self._chunk(named + b"data: " + json.dumps(event).encode() + b"\n\n")
            if isinstance(action, Cut):
                self.close_connection = True
                return
            if events is chat:
                self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")

        def _chunk(self, data: bytes) -> None:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

        def _json(self, status: int, value: dict[str, Any]) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    model.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()


def _whole(body: dict[str, Any]) -> dict[str, Any]:
    usage = {"input_tokens": 1, "output_tokens": 1}
    return {"id": "m", "type": "message", "role": "assistant", "model": body["model"], "stop_reason": "end_turn",
            "stop_sequence": None, "content": [{"type": "text", "text": "ok"}], "usage": usage}  # fmt: skip
