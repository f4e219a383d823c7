"""One exchange's bytes to one reply: status, content deltas with their reads, usage, and what went wrong."""

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from inferencebench.load.http import Body, GarbageError, Head, body_of, parse_head
from inferencebench.load.model import Exchange
from inferencebench.load.sse import events

_DETAIL_CHARS = 300
_CONTENT = re.compile(rb'"content" ?: ?"([^"\\]*)"')
_MORE = re.compile(rb'"(?:finish_reason|usage|error)" ?: ?[^n ]')


class Delta(NamedTuple):
    """Generated text of one event."""

    text: str
    read: int
    bytes: int


class UsageCounts(NamedTuple):
    """What the server reports of a request's tokens; None where it does not."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None


@dataclass
class Reply:
    """What a response said. `error` is None for a whole, successful one."""

    status: int | None = None
    deltas: list[Delta] = field(default_factory=list)
    usage: UsageCounts = field(default_factory=UsageCounts)
    finish_reason: str | None = None
    error: str | None = None
    detail: str = ""
    done: bool = False
    """`[DONE]` was seen."""


def read_reply(exchange: Exchange) -> Reply:
    """Parse what was received, also of a request that failed."""
    reply = Reply()
    try:
        head = parse_head(exchange.raw)
        if head is not None:
            reply.status = head.status
            _read_body(reply, head, body_of(exchange.raw, head), exchange)
    except GarbageError as error:
        reply.error = f"garbage: {error}"
    reply.error = exchange.error or reply.error or _verdict(reply)
    return reply


def _verdict(reply: Reply) -> str | None:
    if not reply.deltas:
        return "no content"
    return None if reply.done or reply.finish_reason is not None else "incomplete stream"


def _read_body(reply: Reply, head: Head, body: Body, exchange: Exchange) -> None:
    if head.status != 200:
        reply.error = f"http {head.status}"
        reply.detail = body.data[:_DETAIL_CHARS].decode("utf-8", "replace")
    elif "text/event-stream" in head.headers.get("content-type", "").lower():
        _read_stream(reply, body, exchange)
    elif exchange.error is None:
        _read_object(reply, body.data, len(exchange.ends) - 1)


def _read_stream(reply: Reply, body: Body, exchange: Exchange) -> None:
    """The deltas of an event stream.

    Most events differ from the one before only in a plain content string. Where the bytes around it are the same, the
    rest of the JSON says the same, so that only the string is read: half the cost.
    """
    deltas = reply.deltas
    around: _Around | None = None
    for data, read in events(body, exchange.ends):
        if around is not None and data.startswith(around.before) and data.endswith(around.after):
            plain = data[len(around.before) : -len(around.after)]
            if b'"' not in plain and b"\\" not in plain:
                if plain:
                    deltas.append(Delta(plain.decode("utf-8", "replace"), read, len(data)))
                continue
        if data == b"[DONE]":
            reply.done = True
            return
        try:
            text = _take(reply, orjson.loads(data), "delta")
        except (ValueError, TypeError, AttributeError, LookupError):
            reply.error = "garbage: an event is no chat completion chunk"
            reply.detail = data[:_DETAIL_CHARS].decode("utf-8", "replace")
            return
        if text:
            deltas.append(Delta(text, read, len(data)))
        if reply.error is not None:
            return
        around = _around(data, text)


class _Around(NamedTuple):
    """The bytes of an event before and after its content string, quotes included."""

    before: bytes
    after: bytes


def _around(data: bytes, text: str) -> _Around | None:
    """Where the content string lies in an event that says nothing else; None when that is not plain to see."""
    match = _CONTENT.search(data)
    if match is None or not text or match[1] != text.encode() or data.count(b'"content"') != 1:
        return None
    if _MORE.search(data) is not None:
        return None
    return _Around(data[: match.start(1)], data[match.end(1) :])


def _read_object(reply: Reply, data: bytes, read: int) -> None:
    """A reply that was not streamed: all its text comes with its last byte."""
    try:
        text = _take(reply, orjson.loads(data), "message")
    except (ValueError, TypeError, AttributeError, LookupError):
        reply.error = "garbage: the body is no chat completion"
        reply.detail = data[:_DETAIL_CHARS].decode("utf-8", "replace")
        return
    reply.done = True
    if text:
        reply.deltas.append(Delta(text, read, len(data)))


def _take(reply: Reply, value: dict[str, Any], key: str) -> str:
    """Note usage, finish reason and error of one event or object; its generated text, empty for a role-only event."""
    usage = value.get("usage")
    if usage is not None:
        reply.usage = _usage(usage)
    choices = value.get("choices")
    if not choices:
        if value.get("error") is not None:
            reply.error = "error event"
            reply.detail = str(value["error"])[:_DETAIL_CHARS]
        return ""
    choice = choices[0]
    finish = choice.get("finish_reason")
    if finish is not None:
        reply.finish_reason = str(finish)
    delta = choice.get(key)
    if delta is None:
        return ""
    text = delta.get("content") or ""
    if len(delta) > 1 or not text:
        text = (delta.get("reasoning_content") or delta.get("reasoning") or "") + text + _tool_text(delta)
    if type(text) is not str:
        raise TypeError("content is not a string")
    return text


def _tool_text(delta: dict[str, Any]) -> str:
    parts = []
    for call in delta.get("tool_calls") or ():
        function = call.get("function") or {}
        parts.append((function.get("name") or "") + (function.get("arguments") or ""))
    return "".join(parts)


def _usage(usage: dict[str, Any]) -> UsageCounts:
    details = usage.get("prompt_tokens_details") or {}
    return UsageCounts(
        _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), _count(details.get("cached_tokens"))
    )


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 31 else None
