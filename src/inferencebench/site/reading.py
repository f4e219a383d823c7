"""Reading run directories that others wrote: regular files only, never through a link, never more than asked for."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from inferencebench.files import open_regular

NOT_READ = (OSError, ValueError, RecursionError)
"""What reading a damaged or foreign file raises."""


class Piece(NamedTuple):
    """A part of a file, and the whole file's size."""

    data: bytes
    size: int


def head(path: Path, limit: int) -> Piece:
    """The first `limit` bytes. Raises OSError for what is no regular file."""
    return _piece(path, limit, end=False)


def tail(path: Path, limit: int) -> Piece:
    """The last `limit` bytes. Raises OSError for what is no regular file."""
    return _piece(path, limit, end=True)


def text(data: bytes) -> str:
    """Bytes as text that may be written anywhere: what is not UTF-8, and control characters, are replaced."""
    decoded = data.decode("utf-8", "replace")
    return decoded.translate(_CONTROLS)


def readable(text: str) -> str:
    """The text without direction overrides: they make a name or code read otherwise than it is."""
    return text.translate(_DIRECTIONS) if any(mark in text for mark in _DIRECTION_MARKS) else text


def json_object(path: Path, limit: int = 4 << 20) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none to read."""
    try:
        piece = head(path, limit)
        found = orjson.loads(piece.data)
    except NOT_READ:
        return {}
    return found if isinstance(found, dict) else {}


def json_lines(data: bytes) -> list[dict[str, Any]]:
    """The objects among the lines; torn and foreign lines are left out."""
    rows = []
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def _piece(path: Path, limit: int, *, end: bool) -> Piece:
    with open_regular(path, buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        start = max(0, size - limit) if end else 0
        parts, at = [], start
        while at < start + limit:
            block = os.pread(file.fileno(), min(1 << 20, start + limit - at), at)
            if not block:
                break
            parts.append(block)
            at += len(block)
        return Piece(b"".join(parts), size)


_CONTROLS = {code: "\ufffd" for code in [*range(32), 127, *range(0x80, 0xA0)] if chr(code) not in "\n\t"}
_DIRECTIONS = dict.fromkeys([0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")
_DIRECTION_MARKS = tuple(map(chr, _DIRECTIONS))
_CONTROLS |= {13: "", **_DIRECTIONS}
