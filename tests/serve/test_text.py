"""Untrusted text in our messages."""

import json

from hypothesis import given
from hypothesis import strategies as st

from inferencebench.serve.server import ServerFailed
from inferencebench.serve.text import TAIL_CHARACTERS, printable, printable_lines

ANY_TEXT = st.text(st.characters(exclude_categories=()) | st.sampled_from("\n\r\x1b\u2028\u202e\ud800\t"))


@given(ANY_TEXT, st.integers(1, 100))
def test_printable(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    assert json.loads(json.dumps(shown, ensure_ascii=False).encode()) == shown
    assert len(shown.splitlines()) <= 1


def test_plain_text_stays() -> None:
    assert printable("model é/日本 'x'") == "model é/日本 'x'"
    assert printable("a\x1b[2J\n\ud800\u202e") == "a\\x1b[2J\\n\\ud800\\u202e"
    assert printable("x" * 301) == "x" * 299 + "…"


@given(st.lists(ANY_TEXT, max_size=5))
def test_lines(lines: list[str]) -> None:
    shown = printable_lines("\n".join(lines))
    assert all(line.isprintable() for line in shown.split("\n"))


def test_the_newest_lines_are_kept() -> None:
    shown = printable_lines("\n".join(f"\x1b[31mline {n}\t{'y' * 5000}" for n in range(100)) + "\nlast")
    assert len(shown) == TAIL_CHARACTERS
    assert shown.startswith("…")
    assert shown.endswith("…\nlast")


def test_server_failure_is_one_short_line() -> None:
    hostile = "\ud800x\x1b]0;title\x07\n" + "z" * 500_000
    error = ServerFailed(f"it serves {hostile} where m was asked for", f"{hostile}\nend", None)
    assert str(error).encode().decode() == f"server: {error.reason}"
    assert error.reason.startswith("it serves \\ud800x\\x1b]0;title\\x07\\nzzz")
    assert len(error.reason) == 300
    assert error.reason.isprintable()
    assert error.log_tail.encode().endswith(b"\nend")
    assert len(error.log_tail) < 2100
