"""The statistics of the tables: what is averaged, how sure it is, and what a difference is worth.

Pure functions over numbers. Speedups are ratios, so differences between them are ratios too, in logarithms.
"""

import itertools
import math
import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache
from statistics import fmean, stdev
from typing import Any, NamedTuple, TypeVar

import numpy as np

SEED = 20260101
RESAMPLES = 2000
EXACT_LIMIT = 4096
"""Up to so many resamples or sign patterns all are taken, and the result is exact."""
Z_95 = 1.959963984540054

Scores = Mapping[Any, float]
"""Scores of one cell by seed pair."""
Statistic = Callable[[Sequence[Scores]], float]
K = TypeVar("K", bound=Hashable)


class Mean(NamedTuple):
    """A mean with its standard error, None for fewer than two values."""

    n: int
    mean: float
    sem: float | None


class Interval(NamedTuple):
    """A central 95 % interval."""

    low: float
    high: float


def mean_sem(values: Sequence[float]) -> Mean | None:
    """Mean and SEM = s / sqrt(n) with s of n - 1 degrees of freedom (ddof = 1, paper, Table 2); None without values."""
    if not values:
        return None
    sem = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Mean(len(values), fmean(values), sem)


def geometric_mean(values: Sequence[float]) -> float:
    """(x1 * ... * xn)^(1/n); 0 when a value is not positive."""
    return math.exp(fmean(map(math.log, values))) if all(v > 0 for v in values) else 0.0


def aggregate(cells: Sequence[Scores]) -> float:
    """Geometric mean of the cells' means (paper, Table 2). Raises ValueError for a cell without scores."""
    if not cells or not all(cells):
        raise ValueError("an aggregate needs a score in every cell")
    return geometric_mean([fmean(cell.values()) for cell in cells])


def jackknife_sem(cells: Sequence[Scores]) -> float | None:
    """Seed-level standard error of the aggregate: sqrt((k - 1) / k * sum (a_i - mean a)^2).

    Delete-one jackknife of the published estimator (Efron and Stein 1981, Annals of Statistics 9:586): a_i leaves out
    one of the k seed pairs in all cells; a cell without that pair keeps its mean. None for fewer than two pairs, or
    when a cell's only pair is left out."""
    pairs = _pairs(cells)
    if len(pairs) < 2:
        return None
    left_out = []
    for pair in pairs:
        kept = [{p: v for p, v in cell.items() if p != pair} for cell in cells]
        if not all(kept):
            return None
        left_out.append(aggregate(kept))
    k, middle = len(left_out), fmean(left_out)
    return math.sqrt((k - 1) / k * sum((a - middle) ** 2 for a in left_out))


def bootstrap_interval(cells: Sequence[Scores], statistic: Statistic = aggregate) -> Interval | None:
    """95 % percentile bootstrap over seed pairs, drawn together for all cells since they share the requests' seeds
    (Efron and Tibshirani 1993, chapter 13). With three pairs there are only ten distinct resamples: such an interval is
    a description of the spread, and narrower than a t interval. None for fewer than two pairs or holes in the grid."""
    pairs = _pairs(cells)
    if len(pairs) < 2 or any(len(cell) != len(pairs) for cell in cells):
        return None
    replicates = sorted(statistic(_drawn(cells, draw)) for draw in _draws(pairs))
    return Interval(percentile(replicates, 2.5), percentile(replicates, 97.5))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """A percentile of ordered values, linear between neighbours (Hyndman and Fan 1996, type 7)."""
    at = (len(ordered) - 1) * percent / 100
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


class Paired(NamedTuple):
    """How one row compares with another on what both did."""

    n: int
    """Shared cells: scenario and seed pair."""
    ratio: float
    """Geometric mean of ours / theirs."""
    interval: Interval | None
    """95 %, percentile bootstrap over the shared cells; None for fewer than two."""
    p: float
    """Two-sided sign-flip test of ratio = 1: exact up to 12 cells."""

    def inside(self, floor: float | None) -> bool:
        """Whether the difference is no larger than a noise floor (a factor, see `noise_floor`)."""
        return floor is not None and abs(math.log(self.ratio)) <= math.log(floor)


def paired(ours: Mapping[K, float], theirs: Mapping[K, float]) -> Paired | None:
    """The difference between two rows on the same scenarios and seeds, as a ratio; None where they share nothing.

    The test flips the signs of the log ratios, which is valid when they are symmetric about 0 (Fisher 1935)."""
    logs = [math.log(ours[key] / theirs[key]) for key in ours.keys() & theirs.keys() if ours[key] > 0 < theirs[key]]
    if not logs:
        return None
    logs.sort()
    interval = None
    if len(logs) > 1:
        means = np.sort(np.array(logs)[_draw_table(len(logs))].mean(axis=1)).tolist()
        interval = Interval(math.exp(percentile(means, 2.5)), math.exp(percentile(means, 97.5)))
    return Paired(len(logs), math.exp(fmean(logs)), interval, _sign_flip_p(logs))


def _sign_flip_p(logs: Sequence[float]) -> float:
    seen = abs(sum(logs)) - 1e-12
    extreme = int((np.abs(_sign_table(len(logs)) @ np.array(logs)) >= seen).sum())
    if 2 ** len(logs) <= EXACT_LIMIT:
        return float(extreme / 2 ** len(logs))
    return float((extreme + 1) / (RESAMPLES + 1))


@cache
def _draw_table(n: int) -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    """The draws of n places with replacement, one a row."""
    return np.array(_draws(range(n)))


@cache
def _sign_table(n: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """All patterns of n signs, one a row; a fixed random sample where they are many."""
    if 2**n <= EXACT_LIMIT:
        return np.array(list(itertools.product((1.0, -1.0), repeat=n)))
    rng = random.Random(SEED)
    return np.array([[rng.choice((1.0, -1.0)) for _ in range(n)] for _ in range(RESAMPLES)])


def ranks(scores: Mapping[K, float]) -> dict[K, int]:
    """Competition ranks, the largest score first: ties share the better rank."""
    return {key: 1 + sum(other > score for other in scores.values()) for key, score in scores.items()}


def rank_intervals(rows: Mapping[K, Sequence[Scores]]) -> dict[K, tuple[int, int]]:
    """Per row the central 95 % of its ranks when the seed pairs are drawn anew, the same draw for all rows.

    Only rows with a score for every pair in every cell take part (Goldstein and Spiegelhalter 1996, JRSS A 159:385)."""
    everything = [cell for cells in rows.values() for cell in cells]
    pairs = _pairs(everything)
    whole = {key: cells for key, cells in rows.items() if cells and all(len(c) == len(pairs) for c in cells)}
    if len(pairs) < 2:
        return {}
    seen: dict[K, list[int]] = {key: [] for key in whole}
    for draw in _draws(pairs):
        for key, rank in ranks({k: aggregate(_drawn(cells, draw)) for k, cells in whole.items()}).items():
            seen[key].append(rank)
    return {key: _central(sorted(found)) for key, found in seen.items()}


def _central(ordered: Sequence[int]) -> tuple[int, int]:
    return math.floor(percentile(ordered, 2.5)), math.ceil(percentile(ordered, 97.5))


class Floor(NamedTuple):
    """What repeats of the same thing differ by."""

    repeats: int
    """Runs that entered."""
    log_sd: float
    """Pooled standard deviation of the logarithm of the metric within groups of repeats."""
    factor: float
    """Two single runs of equal systems differ by less than this factor 95 times in 100."""


def noise_floor(groups: Sequence[Sequence[float]]) -> Floor | None:
    """A/A noise floor: exp(1.96 * sqrt(2) * s), s the pooled within-group deviation of log values, k - 1 degrees of
    freedom per group (the repeatability limit of ISO 5725-6, on a log scale). None without a group of two."""
    logs = [[math.log(v) for v in group if v > 0] for group in groups]
    logs = [group for group in logs if len(group) > 1]
    if not logs:
        return None
    freedom = sum(len(group) - 1 for group in logs)
    variance = sum((v - fmean(group)) ** 2 for group in logs for v in group) / freedom
    sd = math.sqrt(variance)
    return Floor(sum(map(len, logs)), sd, math.exp(Z_95 * math.sqrt(2) * sd))


def fractional_quartiles(scores: Mapping[K, float]) -> dict[K, float]:
    """The quartile of each, 1 the best. Position p of n ordered scores lies in quartile ceil(4 p / n); tied scores
    share the mean of their positions' quartiles, which makes it fractional (our reading of the paper's Table 10)."""
    ordered = sorted(scores.values(), reverse=True)
    quartile = [math.ceil(4 * (i + 1) / len(ordered)) for i in range(len(ordered))]
    places: dict[float, list[int]] = {}
    for score, q in zip(ordered, quartile, strict=True):
        places.setdefault(score, []).append(q)
    return {key: fmean(places[score]) for key, score in scores.items()}


BUCKETS = (("stable", 0.25), ("adjacent", 1.25), ("two_quartiles", 2.25), ("extreme", math.inf))
"""Range of an agent's quartiles over the seeds: up to and with the bound (paper, Table 10)."""


def bucket(quartile_range: float) -> str:
    """The bucket of a range of quartiles."""
    return next(name for name, bound in BUCKETS if quartile_range <= bound + 1e-9)


def _pairs(cells: Sequence[Scores]) -> list[Any]:
    return sorted({pair for cell in cells for pair in cell}, key=str)


def _draws(pairs: Sequence[K]) -> list[tuple[K, ...]]:
    """All draws with replacement where they are few, else a fixed random sample of them."""
    if len(pairs) ** len(pairs) <= EXACT_LIMIT:
        return list(itertools.product(pairs, repeat=len(pairs)))
    rng = random.Random(SEED)
    return [tuple(rng.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES)]


def _drawn(cells: Sequence[Scores], draw: Sequence[Any]) -> list[Scores]:
    return [{i: cell[pair] for i, pair in enumerate(draw)} for cell in cells]
