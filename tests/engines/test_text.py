"""Streamed text: the pieces are the whole, no character is split, and a stop string is never shown."""

from itertools import pairwise
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inferencebench.engines.pytorch.text import REPLACEMENT, Detokenizer, StopFilter


def _decode_with(tokenizer: Any) -> Any:
    return lambda ids: tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


@settings(deadline=None, max_examples=200)
@given(text=st.text(alphabet=st.characters(exclude_characters=REPLACEMENT, exclude_categories=["Cs"])))
def test_pieces_of_a_text_are_whole_characters(tokenizer: Any, text: str) -> None:
    decode, ids = _decode_with(tokenizer), tokenizer.encode(text)
    # This vocabulary lacks a few bytes of rare characters, so not every text has tokens.
    assume(decode(ids) == text)
    detokenizer = Detokenizer(decode)
    pieces = [detokenizer.push(token) for token in ids]
    assert not any(REPLACEMENT in piece for piece in pieces)
    assert "".join(pieces) == text
    assert detokenizer.flush() == ""


@settings(deadline=None, max_examples=200)
@given(ids=st.lists(st.integers(0, 49151), max_size=40))
def test_pieces_of_any_tokens_are_their_text(tokenizer: Any, ids: list[int]) -> None:
    decode = _decode_with(tokenizer)
    detokenizer = Detokenizer(decode)
    pieces = [detokenizer.push(token) for token in ids]
    assert "".join(pieces) + detokenizer.flush() == decode(ids)


@st.composite
def _cut_text(draw: st.DrawFn) -> tuple[str, list[str]]:
    text = draw(st.text(alphabet="abc", max_size=30))
    cuts = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=10))})
    return text, [text[a:b] for a, b in pairwise(cuts)]


def _cut_at_first_end(text: str, stops: list[str]) -> str:
    """The definition, the slow way: shorten the text until the stop string that is complete first is its end."""
    for end in range(len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            return text[: min(starts)]
    return text


@settings(max_examples=500)
@given(_cut_text(), st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3))
def test_stop_strings_cut_alike_however_the_text_arrives(cut: tuple[str, list[str]], stops: list[str]) -> None:
    text, pieces = cut
    stop_filter = StopFilter(stops)
    shown = ""
    expected = _cut_at_first_end(text, stops)
    for piece in pieces:
        shown += stop_filter.push(piece)
        assert expected.startswith(shown)
    assert shown + stop_filter.flush() == expected
    assert stop_filter.stopped == any(stop in text for stop in stops)
