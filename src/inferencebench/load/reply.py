"""One exchange's bytes to one reply: status, content deltas with their reads, usage, and what went wrong."""

import orjson

from inferencebench.load.delta import DETAIL_CHARS, Delta, Reply, take
from inferencebench.load.http import GarbageError, Head, body_of, parse_head
from inferencebench.load.model import Exchange
from inferencebench.load.stream import read_stream


def read_reply(exchange: Exchange) -> Reply:
    """Parse what was received, also of a request that failed."""
    reply = Reply()
    try:
        head = parse_head(exchange.raw)
        if head is not None:
            reply.status = head.status
            _read_body(reply, head, exchange)
    except GarbageError as error:
        reply.error = f"garbage: {error}"
    reply.error = exchange.error or reply.error or _verdict(reply)
    return reply


def _verdict(reply: Reply) -> str | None:
    if not reply.deltas:
        return "no content"
    return None if reply.done or reply.finish_reason is not None else "incomplete stream"


def _read_body(reply: Reply, head: Head, exchange: Exchange) -> None:
    if head.status != 200:
        reply.error = f"http {head.status}"
        reply.detail = body_of(exchange.raw, head).data[:DETAIL_CHARS].decode("utf-8", "replace")
    elif "text/event-stream" in head.headers.get("content-type", "").lower():
        read_stream(reply, bytes(exchange.raw), head, exchange.ends)
    elif exchange.error is None:
        _read_object(reply, body_of(exchange.raw, head).data, len(exchange.ends) - 1)


def _read_object(reply: Reply, data: bytes, read: int) -> None:
    """A reply that was not streamed: all its text comes with its last byte."""
    try:
        text = take(reply, orjson.loads(data), "message")
    except (ValueError, TypeError, AttributeError, LookupError):
        reply.error = "garbage: the body is no chat completion"
        reply.detail = data[:DETAIL_CHARS].decode("utf-8", "replace")
        return
    reply.done = True
    if text:
        reply.deltas.append(Delta(text, read, len(data)))
