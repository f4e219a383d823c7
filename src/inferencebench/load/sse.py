"""Server-sent events of one response, each with the read that completed it."""

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator

from inferencebench.load.http import Body

_LINE = re.compile(rb"(.*?)(?:\r\n|\n|\r)", re.DOTALL)


def events(body: Body, reads: "array[int]") -> Iterator[tuple[bytes, int]]:
    """(data, index of the read with its last byte) of each event with data; comments and other fields carry none.

    `reads` holds the length of the raw response after each read. An event is complete at its blank line; one at the
    very end of the body may lack it.
    """
    segment, last = 0, len(body.ends) - 1
    read = 0
    for end, data in split(body.data):
        while segment < last and body.ends[segment] < end:
            segment += 1
        position = end + body.shifts[segment]
        if reads[read] < position:
            read = bisect_left(reads, position, read)
        yield data, min(read, len(reads) - 1)


def split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(position after the blank line, data) per event. Lines end in LF, CRLF or CR."""
    at = 0
    if b"\r" not in data:
        find = data.find
        while (end := find(b"\n\n", at)) >= 0:
            # The common event is a single data line: no need to look for lines.
            if data.startswith(b"data: ", at) and find(b"\n", at, end) < 0:
                yield end + 2, data[at + 6 : end]
            else:
                fields = _fields(data[at:end].split(b"\n"))
                if fields is not None:
                    yield end + 2, fields
            at = end + 2
        lines: list[bytes] = []
    else:
        lines = []
        for match in _LINE.finditer(data):
            at = match.end()
            if match[1]:
                lines.append(match[1])
                continue
            fields = _fields(lines)
            lines = []
            if fields is not None:
                yield at, fields
    fields = _fields([*lines, *data[at:].split(b"\n")])
    if fields is not None:
        yield len(data), fields


def _fields(lines: list[bytes]) -> bytes | None:
    """The joined `data` fields of one event's lines; None when it has none."""
    parts = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
    parts.extend(b"" for line in lines if line == b"data")
    return b"\n".join(parts) if parts else None
