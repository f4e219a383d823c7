"""The way out of an agent's sandbox: its model provider's API, and nothing else.

Listens on a socket of the sandbox's own loopback. A request inside carries a placeholder; here it is checked against
the provider's list of calls, given the real key, sent on, and its reply streamed back unbuffered while it is metered.
"""

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from inferencebench.agents.meter import Call, Meter, ReplyMeter
from inferencebench.agents.providers import PLACEHOLDER, Credential, Provider
from inferencebench.errors import InfrastructureError, MissingError
from inferencebench.run.clock import Clock

MAX_REQUEST_BYTES = 64 << 20
MAX_CONNECTIONS = 64
START_TIMEOUT_S = 20.0
TIMEOUT = httpx.Timeout(30.0, read=900.0)
"""Reasoning models are silent for minutes before the first event."""
CREDENTIAL_HEADERS = frozenset(
    {"authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "chatgpt-account-id"}
)
QUERY_KEYS = frozenset({"key", "access_token"})
DROPPED = CREDENTIAL_HEADERS | {
    "host", "connection", "content-length", "transfer-encoding", "accept-encoding", "keep-alive", "te", "trailer",
    "upgrade", "proxy-authorization", "proxy-connection", "expect", "forwarded", "x-forwarded-for", "x-forwarded-host",
}  # fmt: skip
PASSED_BACK = re.compile(
    r"content-type|retry-after(-ms)?|x-should-retry|request-id|x-request-id|(anthropic|x)-ratelimit-.*"
)
GEMINI_MODEL = re.compile(r"/models/([\w.-]+)")


class Scrubber:
    """Takes secrets out of a stream of bytes, also where one is split between two pieces."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = [secret.encode() for secret in secrets if secret]
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The bytes that are certain to hold no part of a secret."""
        data = self._held + data
        for secret in self._secrets:
            data = data.replace(secret, PLACEHOLDER.encode())
        keep = max((_overlap(data, secret) for secret in self._secrets), default=0)
        data, self._held = data[: len(data) - keep], data[len(data) - keep :]
        return data

    def end(self) -> bytes:
        """What was held back: the start of a secret that did not go on."""
        held, self._held = self._held, b""
        return held


def _overlap(data: bytes, secret: bytes) -> int:
    """Length of the longest end of `data` that is a beginning of `secret`."""
    return next((n for n in range(min(len(secret) - 1, len(data)), 0, -1) if data.endswith(secret[:n])), 0)


class Gateway:
    """The proxy's application for one invocation of a CLI."""

    def __init__(
        self, provider: Provider, credential: Credential, upstream: str, meter: Meter, clock: Clock, invocation: int
    ) -> None:
        self._provider, self._credential, self._upstream = provider, credential, upstream
        self._meter, self._clock, self._invocation = meter, clock, invocation
        self._client: httpx.AsyncClient | None = None

    def application(self) -> Starlette:
        """One route for everything: what is allowed is decided by the provider's list."""
        methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
        return Starlette(routes=[Route("/{path:path}", self.handle, methods=methods)])

    async def handle(self, request: Request) -> Response:
        """Check, send on, stream back."""
        started = self._clock.elapsed_s
        path = request.url.path
        own = path.removeprefix(self._provider.prefix) if path.startswith(self._provider.prefix) else "(other)"
        what = f"{request.method} {own}"
        draft: dict[str, Any] = {
            "at_s": started, "seconds": 0.0, "invocation": self._invocation, "method": request.method[:8],
            "path": path[:200], "model": "", "status": 403,
            "generates": bool(self._provider.generates.fullmatch(what)),
        }  # fmt: skip
        if not self._provider.allowed.fullmatch(what):
            return self._refuse(draft, "the proxy lets through calls of the model only")
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_REQUEST_BYTES:
                return self._refuse({**draft, "status": 413}, "the request is too large")
        draft["model"] = _model(path, body)
        if draft["generates"] and (reason := self._meter.exhausted()):
            return self._refuse(draft, reason)
        return await self._forward(request, own, body, draft)

    def _refuse(self, draft: dict[str, Any], reason: str) -> Response:
        """An error in the words of all providers at once."""
        self._end({**draft, "refused": reason})
        error = {"type": "permission_error", "status": "PERMISSION_DENIED", "code": draft["status"]}
        body = {"type": "error", "error": {**error, "message": f"inferencebench: {reason}"}}
        return JSONResponse(body, status_code=draft["status"], headers={"x-should-retry": "false"})

    def _end(self, draft: dict[str, Any]) -> None:
        self._meter.add(Call(**{**draft, "seconds": self._clock.elapsed_s - draft["at_s"]}))

    async def _forward(self, request: Request, own: str, body: bytes, draft: dict[str, Any]) -> Response:
        headers = [(name, value) for name, value in request.headers.items() if name not in DROPPED]
        query = urlencode([pair for pair in request.query_params.multi_items() if pair[0] not in QUERY_KEYS])
        try:
            secret = self._credential.headers(self._provider)
            if self._client is None:
                self._client = httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False)
            message = self._client.build_request(
                request.method, self._upstream + own, params=query or None, content=body,
                headers=[*headers, *secret.items(), ("accept-encoding", "identity")],
            )  # fmt: skip
            reply = await self._client.send(message, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL, MissingError) as error:
            self._end({**draft, "status": 0, "error": type(error).__name__})
            text = f"inferencebench: the provider could not be reached ({type(error).__name__})"
            return JSONResponse({"type": "error", "error": {"type": "api_error", "message": text}}, status_code=502)
        scrub = Scrubber(self._credential.secrets())
        kept = {name: value for name, value in reply.headers.items() if PASSED_BACK.fullmatch(name)}
        clean = {name: Scrubber(self._credential.secrets()).feed(v.encode()).decode() for name, v in kept.items()}
        draft["status"] = reply.status_code
        return StreamingResponse(self._relay(reply, scrub, draft), status_code=reply.status_code, headers=clean)

    async def _relay(self, reply: httpx.Response, scrub: Scrubber, draft: dict[str, Any]) -> AsyncIterator[bytes]:
        """The reply's bytes as they come; a cut stream is cut for the agent too (uvicorn closes on an exception)."""
        meter = ReplyMeter(self._provider, "event-stream" in reply.headers.get("content-type", ""))
        error: str | None = "cut: the agent left"
        try:
            async for data in reply.aiter_bytes():
                meter.feed(data)
                if clean := scrub.feed(data):
                    yield clean
            if held := scrub.end():
                yield held
            error = None
        except httpx.HTTPError as failed:
            error = f"cut: {type(failed).__name__}"
            raise
        finally:
            with contextlib.suppress(Exception):
                await reply.aclose()
            usage = meter.end() if draft["generates"] else None
            self._end({**draft, "error": error, "usage": usage})


def _model(path: str, body: bytes) -> str:
    """The model a request names; empty where it names none."""
    if found := GEMINI_MODEL.search(path):
        return found[1][:100]
    try:
        named = json.loads(body).get("model")
    except (ValueError, AttributeError, RecursionError):
        return ""
    return named[:100] if isinstance(named, str) else ""


@contextlib.contextmanager
def answering(gateway: Gateway, listener: socket.socket) -> Iterator[None]:
    """Answer on `listener` while the body runs; then the socket is closed.

    Raises InfrastructureError when the proxy does not come up."""
    config = uvicorn.Config(
        gateway.application(), log_config=None, lifespan="off", access_log=False, server_header=False,
        limit_concurrency=MAX_CONNECTIONS, timeout_keep_alive=60, http="h11", ws="none",
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.run, args=([listener],), name="agent-proxy", daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise InfrastructureError("the agent's proxy did not start")
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = server.force_exit = True
        thread.join(timeout=10)
        listener.close()
