"""Is B slower than A? Repeats of both, each figure's ratio with its interval, and a verdict."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean, variance
from typing import Literal, NamedTuple

from inferencebench.load.session import MeasureRecord
from inferencebench.suites.model import Record

Verdict = Literal["better", "worse", "same", "unsure"]
RATES = ("requests_per_s", "output_tokens_per_s", "goodput_per_s")
LATENCIES = ("ttft", "itl", "tpot", "latency")
JUDGED = ("ttft_s", "tpot_s", "latency_s", "output_tokens_per_s")
"""Figures that decide, where nothing else is asked for: the means, and the throughput."""

_T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t, 97.5 % quantile, for 1 to 30 degrees of freedom."""


class Side(Record):
    """One of the two: a server or a set of records, and its repeats in order."""

    name: str
    repeats: tuple[dict[str, float], ...]
    invalid_reasons: tuple[str, ...]
    """Of any repeat; nothing may be concluded from such figures."""


class Figure(Record):
    """One figure of both sides. Means are geometric, over the repeats."""

    name: str
    a: float
    b: float
    slowdown: float
    """How much worse B is: b/a of a latency, a/b of a rate. 1.1: ten per cent worse."""
    low: float | None
    """95 % interval of the slowdown; None from a single repeat."""
    high: float | None
    verdict: Verdict
    judged: bool
    """Whether it counts for the comparison's verdict."""


class Comparison(Record):
    """The result of `inferencebench compare`."""

    a: Side
    b: Side
    paired: bool
    """Repeats were interleaved, so each of B is compared with its neighbour of A, and drift of the machine cancels."""
    margin: float
    """Slowdowns below this share are no regression, however sure."""
    figures: tuple[Figure, ...]
    regressions: tuple[str, ...]
    """Judged figures that are worse."""
    valid: bool


class _Estimate(NamedTuple):
    """A mean log ratio, and the half width of its 95 % interval; None from a single repeat."""

    mean: float
    half: float | None


def figures_of(record: MeasureRecord) -> dict[str, float]:
    """A measurement's figures: means as `ttft_s`, tails as `ttft_p99_s`, and rates."""
    found: dict[str, float] = {}
    for name in LATENCIES:
        if (spread := getattr(record, f"{name}_s")) is not None:
            found |= {f"{name}_s": spread.mean, f"{name}_p99_s": spread.p99}
    found |= {"requests_per_s": record.requests_per_s, "output_tokens_per_s": record.output_tokens_per_s}
    if record.goodput is not None:
        found["goodput_per_s"] = record.goodput.requests_per_s
    return found


def interleaved(repeats: int, names: tuple[str, str], run: Callable[[int, int], MeasureRecord]) -> tuple[Side, Side]:
    """Measure both `repeats` times in the order A B, B A, A B, …: neither always goes first.

    `run` takes the repeat and which one, 0 for A and 1 for B.
    """
    records: tuple[list[MeasureRecord], list[MeasureRecord]] = ([], [])
    for repeat in range(repeats):
        for which in (0, 1) if repeat % 2 == 0 else (1, 0):
            records[which].append(run(repeat, which))
    return side(names[0], records[0]), side(names[1], records[1])


def side(name: str, records: Sequence[MeasureRecord]) -> Side:
    """One side from its measurements."""
    reasons = dict.fromkeys(reason for record in records for reason in record.invalid_reasons)
    return Side(name=name, repeats=tuple(map(figures_of, records)), invalid_reasons=tuple(reasons))


def compare(a: Side, b: Side, *, paired: bool, margin: float, judged: Sequence[str] = JUDGED) -> Comparison:
    """Compare every figure that all repeats of both have."""
    repeats = (*a.repeats, *b.repeats)
    names = [name for name in repeats[0] if all(one.get(name, 0) > 0 for one in repeats)]
    figures = tuple(
        figure(name, [r[name] for r in a.repeats], [r[name] for r in b.repeats], paired, margin, name in judged)
        for name in names
    )
    return Comparison(
        a=a,
        b=b,
        paired=paired,
        margin=margin,
        figures=figures,
        regressions=tuple(f.name for f in figures if f.judged and f.verdict == "worse"),
        valid=not a.invalid_reasons and not b.invalid_reasons,
    )


def figure(name: str, a: Sequence[float], b: Sequence[float], paired: bool, margin: float, judged: bool) -> Figure:
    """One figure's slowdown with Student's t interval of the mean log ratio: of the pairs, or Welch's of two groups.

    worse: the interval lies above 1 and the slowdown reaches 1 + margin; better: the same for the speedup; same: the
    interval lies within the margin on both sides; else unsure.
    """
    logs_a, logs_b = [math.log(value) for value in a], [math.log(value) for value in b]
    if name in RATES:
        logs_a, logs_b = logs_b, logs_a
    mean, half = _paired(logs_a, logs_b) if paired else _welch(logs_a, logs_b)
    low, high = (None, None) if half is None else (math.exp(mean - half), math.exp(mean + half))
    return Figure(
        name=name,
        a=_geometric(a),
        b=_geometric(b),
        slowdown=math.exp(mean),
        low=low,
        high=high,
        verdict=_verdict(math.exp(mean), low, high, margin),
        judged=judged,
    )


def _verdict(slowdown: float, low: float | None, high: float | None, margin: float) -> Verdict:
    if low is None or high is None:
        return "unsure"
    if low > 1 and slowdown >= 1 + margin:
        return "worse"
    if high < 1 and slowdown <= 1 / (1 + margin):
        return "better"
    return "same" if low >= 1 / (1 + margin) and high <= 1 + margin else "unsure"


def _geometric(values: Sequence[float]) -> float:
    return math.exp(fmean(map(math.log, values)))


def _paired(before: Sequence[float], after: Sequence[float]) -> _Estimate:
    differences = [later - earlier for earlier, later in zip(before, after, strict=True)]
    if len(differences) < 2:
        return _Estimate(fmean(differences), None)
    error = math.sqrt(variance(differences) / len(differences))
    return _Estimate(fmean(differences), _t(len(differences) - 1) * error)


def _welch(before: Sequence[float], after: Sequence[float]) -> _Estimate:
    mean = fmean(after) - fmean(before)
    if len(before) < 2 or len(after) < 2:
        return _Estimate(mean, None)
    parts = [variance(values) / len(values) for values in (before, after)]
    total = sum(parts)
    if not total:
        return _Estimate(mean, 0.0)
    freedom = total**2 / sum(p**2 / (len(v) - 1) for p, v in zip(parts, (before, after), strict=True))
    return _Estimate(mean, _t(freedom) * math.sqrt(total))


def _t(freedom: float) -> float:
    """Rounded down to whole degrees of freedom, which widens the interval."""
    return _T_975[min(max(int(freedom), 1), len(_T_975)) - 1]
