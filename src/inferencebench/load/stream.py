"""The deltas of an event stream, fast where events come as servers usually send them.

Nearly every event differs from the one before only in a plain content string, and is one transfer chunk. `Template`
recognizes those by their bytes, at a fraction of the cost of framing and JSON; anything else goes through the full
parser, and both must give the same (a property test holds them together).
"""

import re
from array import array
from bisect import bisect_left
from typing import NamedTuple

import orjson

from inferencebench.load.delta import DETAIL_CHARS, Delta, Reply, take
from inferencebench.load.http import GarbageError, Head, Length, body_of, next_chunk
from inferencebench.load.sse import events, split

_CONTENT = re.compile(rb'"content" ?: ?"([^"\\\x00-\x1f]*)"')
_PLAIN = rb'([^"\\\x00-\x1f]*)'
_PROBE = "\x7fprobe\x7f"
_MAX_MISSES = 16
"""After so many templates in a row that fitted no second event, this stream's events are all different."""


class Template(NamedTuple):
    """An event whose content string may be any other: one transfer chunk, matched from its size line on."""

    pattern: re.Pattern[bytes]
    """Groups: size, content."""
    frame_bytes: int
    """Of the chunk's data without the content."""
    event_bytes: int
    """Of the event's data without the content."""


def template_of(data: bytes) -> Template | None:
    """The template of an event's data; None unless it says nothing but its content.

    Proven by reading it with another string in that place: the text must be that string, and nothing else be said.
    """
    match = _CONTENT.search(data)
    if match is None:
        return None
    before, after = data[: match.start(1)], data[match.end(1) :]
    said = Reply()
    try:
        text = take(said, orjson.loads(before + _PROBE.encode() + after), "delta")
    except (ValueError, TypeError, AttributeError, LookupError):
        return None
    if text != _PROBE or said != Reply() or b"\n" in before or b"\n" in after:
        return None
    frame = re.escape(b"data: " + before), re.escape(after + b"\n\n\r\n")
    pattern = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n" + frame[0] + _PLAIN + frame[1])
    return Template(pattern, len(before) + len(after) + 8, len(before) + len(after))


def read_stream(reply: Reply, raw: bytes, head: Head, reads: "array[int]", *, fast: bool = True) -> None:
    """Read all events of a response into `reply`. `reads`: length of `raw` after each read.

    `fast` False takes the full parser throughout.
    """
    start = head.body_at
    if fast and head.length is Length.CHUNKED:
        end = _read_chunks(reply, raw, start, reads)
        if end is None:
            return
        start = end
    for data, read in events(body_of(raw, head, start), reads):
        if not _read_event(reply, data, read):
            return


def _read_chunks(reply: Reply, raw: bytes, at: int, reads: "array[int]") -> int | None:
    """Read transfer chunks that hold whole events; where the first other one starts, or None when all is read."""
    template: Template | None = None
    misses, read, last = 0, 0, len(reads) - 1
    deltas = reply.deltas
    while True:
        if template is not None:
            match = template.pattern.match
            used = False
            while (found := match(raw, at)) is not None:
                size, plain = found.groups()
                if int(size, 16) != template.frame_bytes + len(plain):
                    break
                try:
                    text = plain.decode()
                except UnicodeDecodeError:
                    break
                at = found.end()
                if reads[read] < at - 2:
                    read = min(bisect_left(reads, at - 2, read), last)
                if text:
                    deltas.append(Delta(text, read, template.event_bytes + len(plain)))
                used = True
            misses = 0 if used else misses + 1
            template = None
        try:
            chunk = next_chunk(raw, at)
        except GarbageError:
            return None
        if chunk is None or chunk[1] == 0:
            return None
        first, length = chunk
        part = raw[first : first + length]
        if len(part) < length or not part.endswith(b"\n\n") or b"\r" in part:
            return at
        data = b""
        for end, data in split(part):
            read = min(bisect_left(reads, first + end, read), last)
            if not _read_event(reply, data, read):
                return None
        at = first + length + 2
        if misses < _MAX_MISSES:
            template = template_of(data)


def _read_event(reply: Reply, data: bytes, read: int) -> bool:
    """Read one event's data; False when nothing after it counts."""
    if data == b"[DONE]":
        reply.done = True
        return False
    try:
        text = take(reply, orjson.loads(data), "delta")
    except (ValueError, TypeError, AttributeError, LookupError):
        reply.error = "garbage: an event is no chat completion chunk"
        reply.detail = data[:DETAIL_CHARS].decode("utf-8", "replace")
        return False
    if text:
        reply.deltas.append(Delta(text, read, len(data)))
    return reply.error is None
