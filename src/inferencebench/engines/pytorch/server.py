"""The HTTP side of the reference server: one thread per request, one server-sent event per generated token."""

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from inferencebench.engines.pytorch.protocol import Answer, ChatRequest, error_body, model_list, usage
from inferencebench.engines.pytorch.reference import Finish, Reference, Token
from inferencebench.engines.pytorch.sampling import Sampling
from inferencebench.errors import UserError


@dataclass(frozen=True)
class _Failure:
    """Generation raised: the last item of its queue."""

    message: str


def create_app(reference: Reference, served_name: str) -> FastAPI:
    """The application: `/health`, `/v1/models` and `/v1/chat/completions`. The model is loaded already, so a server
    that answers is ready."""
    app = FastAPI(title="InferenceBench reference server", docs_url=None, redoc_url=None, openapi_url=None)
    numbers = itertools.count()
    _install_error_handlers(app)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return model_list(served_name, reference.context_tokens)

    @app.post("/v1/chat/completions", response_model=None)
    async def chat(body: ChatRequest, request: Request) -> JSONResponse | StreamingResponse:
        if body.model != served_name:
            raise HTTPException(404, f"model {body.model!r} is not served here; {served_name!r} is")
        try:
            messages = [message.flat() for message in body.messages]
            prompt = await asyncio.to_thread(reference.prompt_ids, messages, body.chat_template_kwargs)
            sampling = _sampling(body, len(prompt), reference.context_tokens)
        except UserError as error:
            raise HTTPException(400, str(error)) from None
        items = _generation(reference, prompt, sampling, request)
        answer = Answer(served_name, next(numbers))
        if body.stream:
            return StreamingResponse(_events(items, answer, body, len(prompt)), media_type="text/event-stream")
        return await _whole(items, answer, body, len(prompt))

    return app


def _sampling(body: ChatRequest, prompt_tokens: int, context_tokens: int) -> Sampling:
    """The request's sampling. Raises UserError when prompt and answer do not fit the context."""
    room = context_tokens - prompt_tokens
    wanted = body.token_limit or room
    if room < 1 or wanted > room:
        raise UserError(
            f"{prompt_tokens} prompt tokens and {max(wanted, 1)} output tokens exceed the context of {context_tokens}"
        )
    return Sampling(
        max_tokens=wanted,
        temperature=body.temperature,
        top_p=body.top_p,
        seed=body.seed,
        stop=body.stop_strings,
        ignore_eos=body.ignore_eos,
    )


async def _generation(
    reference: Reference, prompt: list[int], sampling: Sampling, request: Request
) -> AsyncIterator[Token | Finish | _Failure]:
    """Run one generation in its own thread and yield what it emits; a client that left, or closing, stops it."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Token | Finish | _Failure] = asyncio.Queue()
    stop = threading.Event()

    def emit(item: Token | Finish | _Failure) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, item)

    def work() -> None:
        try:
            reference.generate(prompt, sampling, emit, stop)
        except Exception as error:  # whatever the model raised is an answer to this client, not the server's end
            emit(_Failure(f"generation failed: {type(error).__name__}: {error}"))

    threading.Thread(target=work, name="generate", daemon=True).start()
    try:
        while True:
            item = await queue.get()
            if await request.is_disconnected():
                return
            yield item
            if not isinstance(item, Token):
                return
    finally:
        stop.set()


async def _events(
    items: AsyncIterator[Token | Finish | _Failure], answer: Answer, body: ChatRequest, prompt_tokens: int
) -> AsyncIterator[bytes]:
    """Server-sent events of a streamed answer. The role rides on the first token: no event comes before it."""
    first = True
    async for item in items:
        if isinstance(item, Token):
            yield _event(answer.chunk(item.text, [item.id] if body.return_token_ids else None, first=first))
            first = False
        elif isinstance(item, Finish):
            yield _event(answer.last_chunk(item.reason, item.text))
            if body.stream_options and body.stream_options.include_usage:
                yield _event(answer.usage_chunk(usage(prompt_tokens, item.completion_tokens)))
            yield b"data: [DONE]\n\n"
        else:
            yield _event(error_body(item.message, 500))


async def _whole(
    items: AsyncIterator[Token | Finish | _Failure], answer: Answer, body: ChatRequest, prompt_tokens: int
) -> JSONResponse:
    """The answer of a request that does not stream."""
    text, ids, finish = "", [], Finish("stop", 0, "")
    async for item in items:
        if isinstance(item, _Failure):
            return JSONResponse(error_body(item.message, 500), 500)
        text += item.text
        if isinstance(item, Token):
            ids.append(item.id)
        else:
            finish = item
    counts = usage(prompt_tokens, finish.completion_tokens)
    return JSONResponse(answer.whole(text, ids if body.return_token_ids else None, finish.reason, counts))


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _install_error_handlers(app: FastAPI) -> None:
    """Errors in OpenAI's form; a body that does not validate is 400, as its clients expect."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"] if part != "body") or "body"
        return JSONResponse(error_body(f"{where}: {problem['msg']}", 400), 400)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(error_body(str(error.detail), error.status_code), error.status_code)
