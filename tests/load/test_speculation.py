"""What speculation owes to the text, from texts and times alone."""

from collections.abc import Sequence

import pytest

from inferencebench.load.model import ChunkSample, RequestSample, Samples
from inferencebench.load.speculation import repetition_share, speculation


def _samples(text: str, times: Sequence[float], tokens: int) -> Samples:
    request = RequestSample.model_construct(id="a", ok=True, text=text, counted_tokens=tokens, first_chunk_tokens=1)
    return Samples([request], [ChunkSample("a", n, t, 1, "x", False) for n, t in enumerate(times)])


def test_a_loop_repeats_and_prose_does_not() -> None:
    assert repetition_share("one two three four five six seven eight") == 0
    assert repetition_share("again and again it says " * 50) == pytest.approx(1 - 5 / 247, abs=0.01)
    assert repetition_share("too short") is None


@pytest.mark.parametrize("accepted", [0, 1, 3])
def test_tokens_of_one_step_come_together(accepted: int) -> None:
    times = [0.02 * step + 0.0002 * n for step in range(40) for n in range(accepted + 1)]
    found = speculation(_samples("words", times, len(times)))
    assert found.tokens_per_step == pytest.approx(accepted + 1, rel=0.06)


def test_several_tokens_in_one_chunk_are_one_step() -> None:
    assert speculation(_samples("words", [0.02 * n for n in range(21)], 61)).tokens_per_step == pytest.approx(3.0)


def test_nothing_streamed_tells_nothing() -> None:
    assert speculation(_samples("words", [1.0], 10)) == (None, None)
