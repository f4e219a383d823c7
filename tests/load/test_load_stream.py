"""The fast reader of event streams says what the full parser says, whatever the stream holds."""

from array import array

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferencebench.load.delta import Reply
from inferencebench.load.http import parse_head
from inferencebench.load.stream import read_stream, template_of

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(text: str, **more: object) -> bytes:
    """An event as vLLM sends it; `more` overrides fields of the choice, or of the delta as `delta`."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None} | more
    value = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    return b"data: " + orjson.dumps(value) + b"\n\n"


def framed(pieces: list[bytes]) -> bytes:
    return HEAD + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def both(raw: bytes, cuts: list[int]) -> tuple[Reply, Reply]:
    ends = array("q", sorted({cut for cut in cuts if 0 < cut < len(raw)} | {len(raw)}))
    head = parse_head(raw)
    assert head is not None
    quick, full = Reply(), Reply()
    read_stream(quick, raw, head, ends)
    read_stream(full, raw, head, ends, fast=False)
    return quick, full


words = st.sampled_from([" a", "", " ü", " 世", '"', "\\", "\n", "\x1f", " end", "data: ", "}]}"]) | st.text(max_size=5)
usual = words.map(chunk)
odd = st.sampled_from(
    [
        b": keep-alive\n\n",
        b"data: [DONE]\n\n",
        b"data: \n\n",
        b"\n",
        b"event: x\ndata: {}\n\n",
        b"data: {\n\n",
        chunk("x").replace(b"\n", b"\r\n"),
        chunk("x").replace(b"\n", b"\r"),
        chunk("x").replace(b"x", b"\xff"),
        chunk("x").replace(b"x", b"\x01"),
        chunk("x").replace(b'"x"', b'"x", "content":"y"'),
        chunk("x")[:-1],
        chunk("x") + chunk("y"),
        chunk("x").replace(b"data: ", b"data:"),
        b"id: 1\n" + chunk("z"),
        chunk("", finish_reason="length"),
        chunk("last", finish_reason="stop"),
        chunk("", delta={"role": "assistant", "content": ""}),
        chunk("", delta={"reasoning_content": "why", "content": None}),
        chunk("", delta={"reasoning_content": "why", "content": "so"}),
        chunk("", delta={"tool_calls": [{"function": {"name": "f", "arguments": '{"content":"x"}'}}]}),
        b'data: {"choices":[{"delta":{"reasoning":"q"}},{"delta":{"content":"q"}}]}\n\n',
        b'data: {"choices":[{"delta":{"reasoning":"q"}},{"delta":{"content":"r"}}]}\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n',
        b'data: {"error":{"message":"busy"}}\n\n',
    ]
)
streams = st.lists(st.one_of(usual, usual, usual, odd), max_size=14)


@settings(max_examples=400, deadline=None)
@given(pieces=streams, data=st.data())
def test_fast_and_full_agree(pieces: list[bytes], data: st.DataObject) -> None:
    raw = framed(pieces)
    quick, full = both(raw, data.draw(st.lists(st.integers(1, len(raw)), max_size=12)))
    assert quick == full


@settings(max_examples=200, deadline=None)
@given(pieces=streams, data=st.data())
def test_fast_and_full_agree_on_damaged_bytes(pieces: list[bytes], data: st.DataObject) -> None:
    raw = bytearray(framed(pieces))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(len(HEAD), len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    quick, full = both(bytes(raw[: data.draw(st.integers(len(HEAD), len(raw)))]), [len(HEAD) + 40, len(HEAD) + 400])
    assert quick == full


@settings(max_examples=100, deadline=None)
@given(pieces=streams, size=st.integers(1, 600))
def test_fast_and_full_agree_when_transfer_chunks_are_not_events(pieces: list[bytes], size: int) -> None:
    whole = b"".join(pieces)
    quick, full = both(framed([whole[at : at + size] for at in range(0, len(whole), size)]), [])
    assert quick == full


def test_the_usual_stream_is_read_by_its_template(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [chunk("", delta={"role": "assistant", "content": ""}), *(chunk(f" t{i}") for i in range(500))]
    raw = framed([*pieces, chunk("", finish_reason="length"), b"data: [DONE]\n\n"])
    parsed = []

    def counted(data: bytes) -> object:
        parsed.append(data)
        return loads(data)

    loads = orjson.loads
    monkeypatch.setattr("inferencebench.load.stream.orjson.loads", counted)
    head = parse_head(raw)
    assert head is not None
    reply = Reply()
    read_stream(reply, raw, head, array("q", [len(raw)]))
    assert len(reply.deltas) == 500
    assert len(parsed) < 10


def test_no_template_where_an_event_says_more() -> None:
    assert template_of(chunk("x")[6:-2]) is not None
    for event in (
        chunk("x", finish_reason="stop"),
        chunk("", delta={"reasoning_content": "why", "content": "so"}),
        b'data: {"choices":[{"delta":{"reasoning":"q"}},{"delta":{"content":"q"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"q"}}],"usage":{"prompt_tokens":1}}\n\n',
    ):
        assert template_of(event[6:-2]) is None
