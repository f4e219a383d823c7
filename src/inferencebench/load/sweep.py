"""A sweep: the same requests under growing load, and the knee of the latency-throughput curve."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from inferencebench.load.session import MeasureRecord
from inferencebench.suites.model import Record

Over = Literal["concurrency", "rate_per_s"]
"""What grows from one measurement to the next."""


class SweepRecord(Record):
    """The result of `inferencebench sweep`: one measurement per load, ascending."""

    url: str
    model: str
    source: str
    over: Over
    points: tuple[MeasureRecord, ...]
    loads: tuple[float, ...]
    """Concurrency or rate of each point."""
    power: tuple[float | None, ...]
    """Output tokens per second over mean latency of each point; None where the point is not valid."""
    knee: int | None
    """Index of the point of greatest power; None where no point is valid."""
    knee_reached: bool
    """Whether a valid point beyond the knee shows that power falls again; if not, sweep further."""


def latency_mean_s(point: MeasureRecord, over: str) -> float | None:
    """The latency a sweep is about: from the schedule for a rate (queueing counts), from the send for concurrency."""
    spread = point.latency_scheduled_s if over == "rate_per_s" else point.latency_s
    return None if spread is None else spread.mean


def power(point: MeasureRecord, over: str) -> float | None:
    """Kleinrock's power of a valid point: output_tokens_per_s / mean latency."""
    latency = latency_mean_s(point, over)
    return point.output_tokens_per_s / latency if point.valid and latency else None


def knee(powers: Sequence[float | None]) -> int | None:
    """The knee: the load where throughput / latency is greatest, the first one of equals.

    It is where a line from the origin touches the latency-throughput curve: below it more load buys throughput at
    little latency, beyond it latency grows faster than throughput (L. Kleinrock, "Power and deterministic rules of
    thumb for probabilistic problems in computer communications", ICC 1979). In a closed loop of N requests with
    N = X L (Little), power is X^2 / N: it grows while X does faster than the root of N.
    """
    known = [(value, -index) for index, value in enumerate(powers) if value is not None]
    return -max(known)[1] if known else None


def sweep(loads: Iterable[float], over: Over, run: Callable[[float], MeasureRecord]) -> SweepRecord:
    """Measure every load, ascending; `run` measures one. Invalid points are kept and cannot be the knee."""
    ascending = tuple(sorted(set(loads)))
    points = tuple(run(load) for load in ascending)
    powers = tuple(power(point, over) for point in points)
    at = knee(powers)
    return SweepRecord(
        url=points[0].url,
        model=points[0].model,
        source=points[0].source,
        over=over,
        points=points,
        loads=ascending,
        power=powers,
        knee=at,
        knee_reached=at is not None and any(value is not None for value in powers[at + 1 :]),
    )
