"""How likely the emitted texts are under the reference model: the content of the timed answers themselves is audited.

Every timed text is teacher-forced through the reference. A token drawn from the reference's own distribution p at the
request's temperature has an expected log-likelihood of -H(p); its *deficit* is -H(p) - log p(token), so that an honest
text has a mean deficit of 0 nats per token, text of another model a positive one, and text that ignores the
temperature (greedy where it should be drawn) a negative one. For greedy requests the deficit is the margin
log p(top) - log p(token), as in Token-DiFR (arXiv 2511.20621). Re-tokenization and arithmetic shift all of this a
little; the baseline's own texts show by how much, and only the difference to them is judged.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field

from inferencebench.suites.model import Record

OPENING_TOKENS = 16
"""The first tokens of an answer, where a canned preamble would be."""
CLIP_NATS = 12.0
"""No single token counts more: one that text cannot give back would drown the rest."""
BOOTSTRAPS = 1000
CONFIDENCE_SE = 3.0
"""Standard errors by which an effect must lie beyond a threshold."""
HONEST_SE = 4.0
"""Or so many of those that honest draws would have, above the worst honest control."""


class Score(Record):
    """Sums over some tokens of one text."""

    tokens: int = Field(ge=0)
    deficit_nats: float
    variance_nats2: float
    """Of the deficit of an honest draw, summed."""
    top1: int
    """Tokens that are the reference's most likely one."""


class Likelihood(Record):
    """One text under the reference."""

    id: str
    whole: Score
    opening: Score
    logp_nats: float | None = None
    """Of the whole text, as drawn at the request's temperature; None for a greedy one, and in older records."""


class Effect(NamedTuple):
    """Mean deficit per token beyond the baseline's, nats, with its standard error."""

    nats: float
    se: float
    tokens: int
    texts: int
    top1_share: float
    top1_excess_se: float
    """Standard errors by which that share is above the baseline's (two proportions)."""
    honest_se: float
    """Of `nats` if the texts were honest draws, from the reference's own distributions. Texts of which some are
    another model's scatter far more among themselves, which `se` would count in their favour."""


def effect(texts: Sequence[Score], reference: Sequence[Score]) -> Effect | None:
    """The difference of mean deficits. Standard error: the larger of the block bootstrap over texts and what honest
    draws of as many tokens have. None where either side has no tokens."""
    ours, theirs = _mean(texts), _mean(reference)
    if ours is None or theirs is None:
        return None
    se = (
        max(_model_variance(texts), _bootstrap(texts)) + max(_model_variance(reference), _bootstrap(reference))
    ) ** 0.5
    honest_se = (_model_variance(texts) + max(_model_variance(reference), _bootstrap(reference))) ** 0.5
    tokens = sum(score.tokens for score in texts)
    share, excess = _top1(texts, reference)
    return Effect(ours - theirs, se, tokens, len(texts), share, excess, honest_se)


def _top1(texts: Sequence[Score], reference: Sequence[Score]) -> tuple[float, float]:
    """Share of the most likely tokens, and its excess over the reference's in standard errors."""
    ours, theirs = (sum(s.tokens for s in side) for side in (texts, reference))
    hits, base = (sum(s.top1 for s in side) for side in (texts, reference))
    pooled = (hits + base) / (ours + theirs)
    error = (max(pooled * (1 - pooled), 1e-6) * (1 / ours + 1 / theirs)) ** 0.5
    return hits / ours, (hits / ours - base / theirs) / error


def _mean(scores: Sequence[Score]) -> float | None:
    tokens = sum(score.tokens for score in scores)
    return sum(score.deficit_nats for score in scores) / tokens if tokens else None


def _model_variance(scores: Sequence[Score]) -> float:
    tokens = sum(score.tokens for score in scores)
    return sum(score.variance_nats2 for score in scores) / tokens**2


def _bootstrap(scores: Sequence[Score]) -> float:
    """Variance of the mean deficit over resampled texts; 0 for a single text."""
    if len(scores) < 2:
        return 0.0
    source = random.Random(0)
    means = [m for _ in range(BOOTSTRAPS) if (m := _mean(source.choices(scores, k=len(scores)))) is not None]
    middle = sum(means) / len(means)
    return sum((m - middle) ** 2 for m in means) / len(means)
