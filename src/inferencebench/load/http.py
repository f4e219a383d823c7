"""HTTP/1.1 responses: where one ends (asked in the hot loop), and its body with positions (asked after the run)."""

import re
from array import array
from dataclasses import dataclass
from enum import IntEnum

HEAD_LIMIT = 65_536
_SIZE_LINE_LIMIT = 1024
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[^\r\n]*\r?$")
_HEX = re.compile(rb"[0-9A-Fa-f]{1,15}")


class GarbageError(ValueError):
    """The bytes are not an HTTP response."""


class Length(IntEnum):
    """How the end of a body is told."""

    FIXED = 0
    CHUNKED = 1
    UNTIL_CLOSE = 2


@dataclass(frozen=True)
class Head:
    """A response's status line and headers (names in lower case), and where its body lies in the raw bytes."""

    status: int
    headers: dict[str, str]
    body_at: int
    length: Length
    body_bytes: int
    """Of a FIXED body, else 0."""
    keep_alive: bool


def parse_head(raw: bytes | bytearray) -> Head | None:
    """The final response head (interim 1xx ones skipped), or None while it is incomplete. Raises GarbageError."""
    at = 0
    while True:
        if not b"HTTP/1.".startswith(raw[at : at + 7]):
            raise GarbageError("not an HTTP/1 response")
        end = raw.find(b"\r\n\r\n", at)
        if end < 0:
            if len(raw) - at > HEAD_LIMIT:
                raise GarbageError(f"response head over {HEAD_LIMIT} bytes")
            return None
        head = _head(bytes(raw[at:end]), end + 4)
        if head.status >= 200:
            return head
        at = end + 4


def _head(text: bytes, body_at: int) -> Head:
    first, *lines = text.split(b"\r\n")
    match = _STATUS.match(first)
    if match is None:
        raise GarbageError("bad status line")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise GarbageError("bad header line")
        headers[name.strip().lower().decode("latin-1")] = value.strip().decode("latin-1")
    status = int(match[1])
    length, size = Length.UNTIL_CLOSE, 0
    if "chunked" in headers.get("transfer-encoding", "").lower():
        length = Length.CHUNKED
    elif status in (204, 304):
        length = Length.FIXED
    elif "content-length" in headers:
        digits = headers["content-length"]
        if not (digits.isascii() and digits.isdigit()):
            raise GarbageError("bad content-length")
        length, size = Length.FIXED, int(digits)
    connection = headers.get("connection", "").lower()
    keep = "close" not in connection and (first.startswith(b"HTTP/1.1") or "keep-alive" in connection)
    return Head(status, headers, body_at, length, size, keep and length is not Length.UNTIL_CLOSE)


def next_chunk(raw: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """(first byte of data, size) of the chunk whose size line starts at `at`; None while that line is incomplete.

    Raises GarbageError.
    """
    line_end = raw.find(b"\r\n", at, at + _SIZE_LINE_LIMIT)
    if line_end < 0:
        if len(raw) - at >= _SIZE_LINE_LIMIT:
            raise GarbageError("chunk size line without an end")
        return None
    try:
        size = int(raw[at:line_end], 16)
    except ValueError:
        digits = bytes(raw[at:line_end]).partition(b";")[0].strip()
        size = int(digits, 16) if _HEX.fullmatch(digits) else -1
    if size < 0:
        raise GarbageError("bad chunk size")
    return line_end + 2, size


class ResponseEnd:
    """Watches one growing response for its end.

    A chunked body is only walked when the bytes end in a blank line, as every complete one does; the walk resumes
    where it stopped, so that the total work is linear.
    """

    __slots__ = ("_at", "_chunked", "_end", "head")

    def __init__(self) -> None:
        self.head: Head | None = None
        self._chunked = False
        self._at = 0
        self._end = 1 << 62

    def reached(self, raw: bytearray) -> bool:
        """Whether `raw` holds the whole response. Raises GarbageError."""
        if self._chunked:
            return raw.endswith(b"\r\n\r\n") and self._walk(raw)
        if self.head is None:
            self.head = parse_head(raw)
            if self.head is None:
                return False
            self._chunked = self.head.length is Length.CHUNKED
            if self._chunked:
                self._at = self.head.body_at
                return raw.endswith(b"\r\n\r\n") and self._walk(raw)
            if self.head.length is Length.FIXED:
                self._end = self.head.body_at + self.head.body_bytes
        return len(raw) >= self._end

    def reached_by_close(self, raw: bytearray) -> bool:
        """Whether `raw` is a whole response now that the server has closed the connection."""
        head = self.head
        return head is not None and (head.length is Length.UNTIL_CLOSE or (self._chunked and self._walk(raw)))

    def overrun(self, raw: bytearray) -> bool:
        """Whether bytes follow the response, so that the connection cannot be used again."""
        return len(raw) > self._end

    def _walk(self, raw: bytearray) -> bool:
        size = len(raw)
        while self._at < size:
            chunk = next_chunk(raw, self._at)
            if chunk is None:
                return False
            data, length = chunk
            if length == 0:
                end = raw.find(b"\r\n\r\n", data - 2)
                if end < 0:
                    return False
                self._end = end + 4
                return True
            if data + length + 2 > size:
                return False
            self._at = data + length + 2
        return False


@dataclass(frozen=True)
class Body:
    """A decoded body. Segment i is `data[ends[i-1]:ends[i]]` and lay `shifts[i]` bytes later in the raw response."""

    data: bytes
    ends: "array[int]"
    shifts: "array[int]"


def body_of(raw: bytes | bytearray, head: Head, start: int | None = None) -> Body:
    """The body of a response with the transfer coding removed, as far as it was received and well formed.

    `start`: of a chunked body, only the rest from the chunk whose size line starts there.
    """
    if head.length is not Length.CHUNKED:
        stop = head.body_at + head.body_bytes if head.length is Length.FIXED else len(raw)
        data = bytes(raw[head.body_at : stop])
        return Body(data, array("q", [len(data)]), array("q", [head.body_at]))
    # Slices of bytes are cheaper than those of a bytearray.
    raw = bytes(raw)
    parts, ends, shifts = [], array("q"), array("q")
    at, total, size = start or head.body_at, 0, len(raw)
    while at < size:
        try:
            chunk = next_chunk(raw, at)
        except GarbageError:
            break
        if chunk is None or chunk[1] == 0:
            break
        first, length = chunk
        part = raw[first : first + length]
        shifts.append(first - total)
        total += len(part)
        parts.append(part)
        ends.append(total)
        at = first + length + 2
    return Body(b"".join(parts), ends, shifts)
