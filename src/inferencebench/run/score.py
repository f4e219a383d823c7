"""From metrics to a speedup: what counts, what is compared with what, and how sure it is."""

from collections.abc import Sequence

import numpy as np

from inferencebench.load.model import Measurement, RequestSample
from inferencebench.run.outcome import Decision
from inferencebench.run.record import Measured, Outcome
from inferencebench.suites.model import Metric

BOOTSTRAP_RESAMPLES = 2000
BOOTSTRAP_SEED = 20260101
FLOOR = 1.0
"""Speedup of everything that did not pass or is not faster than the baseline (paper, section 3)."""


def primary(measurement: Measurement, metric: Metric) -> float | None:
    """The scenario's primary metric of one launch, in its native unit; None without successful requests."""
    value = getattr(measurement, metric.value)
    assert value is None or isinstance(value, float)
    return value


def mean_over_launches(measured: Measured, metric: Metric) -> float | None:
    """Mean of the primary metric over the launches; None when a launch has none or the server failed: what was answered
    before that stays in the measurement, and is no result."""
    if measured.failure is not None:
        return None
    values = [primary(m, metric) for m in measured.measurements]
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def raw_speedup(metric: Metric, value: float | None, baseline: float | None) -> float | None:
    """How many times better than the baseline: baseline/value for latencies, value/baseline otherwise."""
    if not value or not baseline:
        return None
    return baseline / value if metric.lower_is_better else value / baseline


def speedup(decision: Decision, raw: float | None, *, is_baseline: bool) -> float:
    """The canonical score: raw if passed and faster than the baseline, else 1.0; the baseline is 1.0 by definition."""
    if is_baseline or decision.outcome is not Outcome.PASSED or raw is None:
        return FLOOR
    return max(FLOOR, raw)


def bootstrap(samples: Sequence[Sequence[RequestSample]], metric: Metric, stream: int) -> np.ndarray | None:
    """Bootstrap replicates of a latency metric, shape [BOOTSTRAP_RESAMPLES].

    `samples` holds one sequence per launch; launches are drawn first, then requests within a launch.
    `stream` numbers independent draws: the two sides of a ratio must not share one. None for rates, which one launch
    measures once, and for too few requests."""
    if metric not in (Metric.TTFT, Metric.TPOT):
        return None
    launches = [np.array([v for s in launch if (v := _latency(s, metric)) is not None]) for launch in samples]
    if not launches or any(len(values) < 2 for values in launches):
        return None
    rng = np.random.default_rng((BOOTSTRAP_SEED, stream))
    replicates = np.empty(BOOTSTRAP_RESAMPLES)
    for i in range(BOOTSTRAP_RESAMPLES):
        picked = [launches[j] for j in rng.integers(len(launches), size=len(launches))]
        replicates[i] = np.mean([rng.choice(values, size=len(values)).mean() for values in picked])
    return replicates


def interval(replicates: np.ndarray | None) -> tuple[float, float] | None:
    """The central 95 % of bootstrap replicates."""
    if replicates is None:
        return None
    low, high = np.percentile(replicates, [2.5, 97.5])
    return float(low), float(high)


def speedup_interval(value: np.ndarray | None, baseline: np.ndarray | None) -> tuple[float, float] | None:
    """95 % interval of the ratio of two latency metrics, the baseline's uncertainty included."""
    return None if value is None or baseline is None else interval(baseline / value)


def _latency(sample: RequestSample, metric: Metric) -> float | None:
    """TTFT or TPOT of one request, seconds; see `load.metrics` for the definitions."""
    from inferencebench.load.metrics import tpot_s, ttft_s

    return ttft_s(sample) if metric is Metric.TTFT else tpot_s(sample)
