"""What speculation owes to the text: how repetitive it is, and how many tokens a step brought.

Forced lengths drive a text past its end into loops, which n-gram drafts guess well: a gain with a high repetition share
is one of this text, not of any. Both are seen from outside, whatever the engine reports of itself.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from inferencebench.load.model import ChunkSample, RequestSample, Samples

GRAM = 4
"""Words in a row that count as a repetition when they come again: about what an n-gram draft looks up."""
SAME_STEP = 0.25
"""Chunks closer than this share of the mean gap came out of one step."""


class Speculation(NamedTuple):
    """Of the successful requests of a measurement; None where there is nothing to tell from."""

    repetition_share: float | None
    """Mean share of a reply's word 4-grams that had been in it before: 0 for none, near 1 for a loop."""
    tokens_per_step: float | None
    """Tokens per step of the engine that brought any: 1 without speculation, 1 + accepted tokens with it."""


def speculation(samples: Samples) -> Speculation:
    """From texts and the times of their chunks."""
    good = [r for r in samples.requests if r.ok]
    chunks: dict[str, list[ChunkSample]] = {r.id: [] for r in good}
    for chunk in samples.chunks:
        if chunk.request in chunks:
            chunks[chunk.request].append(chunk)
    shares = [share for r in good if (share := repetition_share(r.text)) is not None]
    steps = [found for r in good if (found := _steps(r, [c.t_s for c in chunks[r.id]])) is not None]
    tokens, count = sum(t for t, _ in steps), sum(n for _, n in steps)
    return Speculation(_mean(shares), tokens / count if count else None)


def repetition_share(text: str) -> float | None:
    """Share of word 4-grams that are not the first of their kind; None for fewer than two of them."""
    words = text.split()
    grams = [tuple(words[i : i + GRAM]) for i in range(len(words) - GRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if len(grams) > 1 else None


def _steps(request: RequestSample, times: Sequence[float]) -> tuple[int, int] | None:
    """Tokens after the first chunk's, and the steps that brought them; None where nothing was streamed."""
    if len(times) < 3 or request.counted_tokens is None:
        return None
    ordered = sorted(times)
    gaps = [after - before for before, after in pairwise(ordered)]
    mean = sum(gaps) / len(gaps)
    steps = sum(gap > SAME_STEP * mean for gap in gaps)
    return (request.counted_tokens - (request.first_chunk_tokens or 1), steps) if steps else None


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return sum(known) / len(known) if known else None
