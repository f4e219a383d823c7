"""The OpenAI chat-completion protocol, as far as the reference server speaks it: requests in, JSON objects out."""

import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class TextPart(BaseModel):
    """One part of a message's content; only text is served."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One message; `content` is a string or a list of text parts."""

    role: str
    content: str | list[TextPart]

    def flat(self) -> dict[str, str]:
        """The message as a chat template expects it."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": self.role, "content": text}


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """Body of `POST /v1/chat/completions`. Unknown fields are ignored, as other servers do, except those below that
    would change the answer and are not served: they must have their neutral value."""

    model_config = ConfigDict(extra="ignore")

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    max_completion_tokens: Annotated[int, Field(gt=0)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    ignore_eos: bool = False
    return_token_ids: bool = False
    """vLLM's extension: `token_ids` beside each delta, exact where text is not (random weights)."""
    chat_template_kwargs: dict[str, Any] = {}
    n: Literal[1] = 1
    logprobs: Literal[False] | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None

    @property
    def token_limit(self) -> int | None:
        """Largest number of generated tokens, None for as many as fit."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """The non-empty stop strings."""
        strings = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(string for string in strings if string)


def error_body(message: str, status: int) -> dict[str, Any]:
    """An error as OpenAI words it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def model_list(served_name: str, context_tokens: int) -> dict[str, Any]:
    """Answer of `GET /v1/models`."""
    card = {"id": served_name, "object": "model", "created": int(time.time()), "owned_by": "inferencebench"}
    return {"object": "list", "data": [card | {"max_model_len": context_tokens}]}


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Token counts of one answer. The end token counts when it was generated."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


class Answer:
    """Builds the JSON objects of one answer, streamed or whole, under one id."""

    def __init__(self, served_name: str, number: int) -> None:
        self._created = int(time.time())
        self._id = f"chatcmpl-{self._created:x}-{number:x}"
        self._model = served_name

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model, "choices": choices}

    def chunk(self, text: str, token_ids: list[int] | None, *, first: bool) -> dict[str, Any]:
        """One event: the text that one generated token completed, which may be empty."""
        delta = {"role": "assistant", "content": text} if first else {"content": text}
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": None}
        if token_ids is not None:
            choice["token_ids"] = token_ids
        return self._object("chat.completion.chunk", [choice])

    def last_chunk(self, finish_reason: str, text: str) -> dict[str, Any]:
        """The event that ends the choice; `text` is what was held back until then."""
        delta = {"content": text} if text else {}
        return self._object("chat.completion.chunk", [{"index": 0, "delta": delta, "finish_reason": finish_reason}])

    def usage_chunk(self, counts: dict[str, int]) -> dict[str, Any]:
        """The event without choices that carries the token counts."""
        return self._object("chat.completion.chunk", []) | {"usage": counts}

    def whole(
        self, text: str, token_ids: list[int] | None, finish_reason: str, counts: dict[str, int]
    ) -> dict[str, Any]:
        """The answer of a request that does not stream."""
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": finish_reason,
        }
        if token_ids is not None:
            choice["token_ids"] = token_ids
        return self._object("chat.completion", [choice]) | {"usage": counts}
