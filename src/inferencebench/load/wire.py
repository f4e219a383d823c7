"""What goes over the wire: request bodies and heads, encoded before the run, and a plain TCP target."""

import socket
from collections.abc import Sequence
from typing import Any

import orjson

from inferencebench.load.model import PlannedRequest, Target
from inferencebench.workload.model import Message, SpeedRequest

WHOLE = {"top_p": 1.0, "top_k": -1, "min_p": 0.0}
"""No cut by rank or probability, as vLLM, SGLang and llama.cpp spell it; servers ignore what they do not know."""


def chat_body(
    model: str,
    messages: Sequence[Message],
    *,
    max_tokens: int,
    temperature: float,
    seed: int | None,
    force_length: bool,
    whole: bool = False,
) -> bytes:
    """The body of a streaming chat completion that reports its usage.

    `force_length` adds `ignore_eos`, so that exactly `max_tokens` are generated where the engine honours it. `whole`
    says that tokens are drawn from the whole distribution: engines cut it at different places where nothing is said.
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in messages],
        "max_tokens": max_tokens,
        "temperature": temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if seed is not None:
        body["seed"] = seed
    if force_length:
        body["ignore_eos"] = True
    if whole:
        body |= WHOLE
    return orjson.dumps(body)


def planned(request: SpeedRequest, model: str, *, force_length: bool = True) -> PlannedRequest:
    """A request of a suite, encoded as the load client sends it to a server that calls its model `model`."""
    body = chat_body(
        model,
        request.messages,
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        seed=request.seed,
        force_length=force_length,
        whole=True,
    )
    return PlannedRequest(request.id, body, request.offset_s, request.max_tokens, request.prompt_tokens)


def request_head(target: Target, body_bytes: int) -> bytes:
    """The HTTP/1.1 request line and headers for a JSON body of `body_bytes`."""
    headers = (
        ("Host", target.host),
        ("Accept", "text/event-stream"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(body_bytes)),
        *target.headers,
    )
    lines = [f"POST {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def tcp_target(host: str, port: int, *, headers: Sequence[tuple[str, str]] = (), timeout_s: float = 5.0) -> Target:
    """A target reached by ordinary TCP from this process."""

    def connect() -> socket.socket:
        sock = socket.create_connection((host, port), timeout=timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    return Target(connect=connect, host=f"{host}:{port}", headers=tuple(headers))
