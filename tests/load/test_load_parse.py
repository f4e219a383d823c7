"""Bytes to samples: HTTP framings, SSE, JSON, however the bytes were cut into reads."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_helpers import exchange, recording

from inferencebench.load.http import GarbageError, ResponseEnd
from inferencebench.load.mock import words
from inferencebench.load.model import RequestSample, Samples
from inferencebench.load.parse import counted_tokens, samples

SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
NO_CHUNK = "garbage: an event is no chat completion chunk"
TEXTS = ["Grüße", " 世界", " 🚀", " 0\r\n\r\n", " end"]


def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    value = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return b"data: " + json.dumps(value, ensure_ascii=False).encode()


def stream(newline: bytes) -> list[bytes]:
    """A stream's pieces: role-only event, comments, text, other fields, usage, end."""
    usage = orjson.dumps(
        {
            "choices": [],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 2}},
        }
    )
    blank = newline * 2
    return [
        b": keep-alive" + blank,
        event({"role": "assistant", "content": ""}) + blank,
        *(event({"content": text}) + blank for text in TEXTS[:3]),
        b":" + newline + b"id: 7" + newline + event({"content": TEXTS[3]}) + newline + b"retry: 1" + blank,
        newline + event({"content": TEXTS[4]}) + blank,
        event({}, "length") + blank,
        b"data: " + usage + blank,
        b"data: [DONE]" + blank,
    ]


def chunked(pieces: list[bytes]) -> tuple[bytes, list[int]]:
    """A chunked response, and where in it the last byte of each content event lies (one past it)."""
    raw, ends = SSE_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", []
    for piece in pieces:
        raw += b"%x;note=1\r\n" % len(piece) if piece.startswith(b":") else b"%X\r\n" % len(piece)
        raw += piece
        if b'"content": "' in piece and b'"content": ""' not in piece:
            ends.append(len(raw))
        raw += b"\r\n"
    return raw + b"0\r\nX-Trailer: yes\r\n\r\n", ends


def check_split(raw: bytes, ends: list[int], cuts: list[int]) -> None:
    record = exchange(raw, cuts)
    watch = ResponseEnd()
    assert [watch.reached(bytearray(raw[:end])) for end in record.ends] == [False] * (len(record.ends) - 1) + [True]
    got = samples(recording(record), words)
    request = got.requests[0]
    assert (request.ok, request.text, request.finish_reason) == (True, "".join(TEXTS), "length")
    assert (request.usage_completion_tokens, request.cached_tokens) == (5, 2)
    reads = [next(i for i, read_end in enumerate(record.ends) if read_end >= end) for end in ends]
    assert [chunk.t_s for chunk in got.chunks] == [read + 1 for read in reads]
    assert [chunk.coalesced for chunk in got.chunks] == [i > 0 and reads[i - 1] == r for i, r in enumerate(reads)]
    assert (request.first_s, request.end_s) == (reads[0] + 1, reads[-1] + 1)


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_every_split_position_gives_the_same_text_and_the_right_read(newline: bytes) -> None:
    raw, ends = chunked(stream(newline))
    for cut in range(1, len(raw)):
        check_split(raw, ends, [cut])
    check_split(raw, ends, list(range(1, len(raw))))


@given(data=st.data(), newline=st.sampled_from([b"\n", b"\r\n"]), merge=st.booleans())
def test_any_split_gives_the_same_text_and_the_right_read(data: st.DataObject, newline: bytes, merge: bool) -> None:
    pieces = stream(newline)
    if merge:
        # Transfer chunks need not be events: cut the same bytes elsewhere.
        whole = b"".join(pieces)
        size = data.draw(st.integers(1, len(whole)))
        raw = SSE_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
        for at in range(0, len(whole), size):
            part = whole[at : at + size]
            raw += b"%x\r\n%s\r\n" % (len(part), part)
        raw += b"0\r\n\r\n"
        got = samples(recording(exchange(raw, data.draw(st.lists(st.integers(1, len(raw)))))), words)
        assert (got.requests[0].ok, got.requests[0].text) == (True, "".join(TEXTS))
    else:
        raw, ends = chunked(pieces)
        check_split(raw, ends, data.draw(st.lists(st.integers(1, len(raw)), max_size=50)))


def one(raw: bytes, error: str | None = None) -> RequestSample:
    record = exchange(raw, [])
    record.error = error
    return samples(recording(record), words).requests[0]


def test_stream_until_close_and_with_a_length() -> None:
    whole = b"".join(stream(b"\n"))
    for head in (b"\r\n", b"Connection: close\r\n\r\n", b"Content-Length: %d\r\n\r\n" % len(whole)):
        assert one(SSE_HEAD + head + whole).text == "".join(TEXTS)
    watch, raw = ResponseEnd(), bytearray(SSE_HEAD + b"\r\n" + whole)
    assert (watch.reached(raw), watch.reached_by_close(raw)) == (False, True)


def test_last_event_may_lack_its_blank_line() -> None:
    whole = event({"content": "a"}) + b"\n\n" + event({"content": " b"}, "stop")
    assert one(SSE_HEAD + b"\r\n" + whole).text == "a b"


def test_interim_responses_are_skipped() -> None:
    raw, _ = chunked(stream(b"\n"))
    got = one(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + raw)
    assert (got.ok, got.status) == (True, 200)


def test_not_streamed_reply_has_one_chunk_and_no_tpot() -> None:
    value = {"choices": [{"message": {"role": "assistant", "content": "one two"}, "finish_reason": "stop"}]}
    body = orjson.dumps(value)
    raw = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    got = one(raw)
    assert (got.ok, got.chunks, got.counted_tokens, got.first_chunk_tokens) == (True, 1, 2, 2)
    assert got.first_s == got.end_s


def test_reasoning_and_tool_deltas_are_tokens() -> None:
    tool = {"tool_calls": [{"index": 0, "function": {"name": " f", "arguments": "{}"}}]}
    deltas = [{"role": "assistant", "reasoning_content": "why"}, {"content": " so"}, tool]
    raw = SSE_HEAD + b"\r\n" + b"".join(event(d) + b"\n\n" for d in deltas) + b"data: [DONE]\n\n"
    assert one(raw).text == "why so f{}"
    assert one(raw).chunks == 3


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nbusy", "http 500"),
        (SSE_HEAD + b'\r\ndata: {"error": {"message": "out of memory"}}\n\n', "error event"),
        (SSE_HEAD + b"\r\ndata: hello\n\n", NO_CHUNK),
        (SSE_HEAD + b'\r\ndata: {"choices": [{"delta": {"content": 5}}]}\n\n', NO_CHUNK),
        (SSE_HEAD + b"\r\ndata: [DONE]\n\n", "no content"),
        (SSE_HEAD + b"\r\n" + event({"content": "a"}) + b"\n\n", "incomplete stream"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n<html>", "garbage: the body is no chat completion"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "garbage: not an HTTP/1 response"),
    ],
)  # fmt: skip
def test_failures_have_their_reason(raw: bytes, error: str) -> None:
    got = one(raw)
    assert (got.ok, got.error) == (False, error)


def test_what_came_before_a_failure_is_kept() -> None:
    raw, _ = chunked(stream(b"\n"))
    got = one(raw[: raw.index("🚀".encode())], error="timeout")
    assert (got.ok, got.error, got.text) == (False, "timeout", "Grüße 世界")


@given(
    raw=st.binary(max_size=300),
    prefix=st.sampled_from([b"", SSE_HEAD + b"\r\n", SSE_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"]),
)
def test_no_bytes_crash_the_parser(raw: bytes, prefix: bytes) -> None:
    whole = prefix + raw or b"x"
    got: Samples = samples(recording(exchange(whole, [])), words)
    assert got.requests[0].ok is False
    watch = ResponseEnd()
    try:
        watch.reached(bytearray(whole))
        watch.reached_by_close(bytearray(whole))
    except GarbageError:
        pass


@pytest.mark.parametrize("size", [b"-5", b"", b"zz", b"1 2"])
def test_bad_chunk_sizes_are_garbage(size: bytes) -> None:
    raw = bytearray(SSE_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\nhello\r\n0\r\n\r\n")
    with pytest.raises(GarbageError):
        ResponseEnd().reached(raw)


@pytest.mark.parametrize(
    ("retokenized", "usage", "limit", "counted"),
    [
        (100, 103, 103, 103),  # within 3
        (100, 104, 104, 100),  # beyond max(3, 2 %)
        (1000, 1020, 1020, 1020),  # within 2 %
        (1000, 1010, 1005, 1000),  # usage above the limit is not believed
        (120, None, 100, 100),  # no more than was asked for
        (90, None, 100, 90),
        (10, 100, 100, 10),  # usage cannot make up tokens
    ],
)
def test_counted_tokens(retokenized: int, usage: int | None, limit: int, counted: int) -> None:
    assert counted_tokens(retokenized, usage, limit) == counted
