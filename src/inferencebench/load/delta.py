"""What one event or object of a reply says: its generated text, usage, finish reason, error."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

DETAIL_CHARS = 300
"""Kept of an error reply's body."""


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


def take(reply: Reply, value: dict[str, Any], key: str) -> str:
    """Note usage, finish reason and error of one event or object; its generated text, empty for a role-only event."""
    usage = value.get("usage")
    if usage is not None:
        reply.usage = _usage(usage)
    choices = value.get("choices")
    if not choices:
        if value.get("error") is not None:
            reply.error = "error event"
            reply.detail = str(value["error"])[:DETAIL_CHARS]
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
