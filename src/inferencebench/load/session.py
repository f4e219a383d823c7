"""Measuring one server as a tool of its own: warm-up, loads, samples, and a record with units in its names."""

import functools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import orjson

from inferencebench import MEASUREMENT_VERSION
from inferencebench.load import client, parse
from inferencebench.load.goodput import CLOSED, Cost, Goodput, Slo, cost, goodput
from inferencebench.load.metrics import by_profile, distribution, gaps, latency_s, measurement, tpot_s, ttft_s
from inferencebench.load.model import (
    CalibrationRef,
    Distribution,
    LoadPlan,
    Offered,
    PlannedRequest,
    ProfileMetrics,
    Progress,
    Recorder,
    Recording,
    RequestSample,
    Samples,
    Target,
)
from inferencebench.suites.model import Profile, Record

CountTokens = Callable[[Sequence[str]], list[int]]
WARMUP = "warmup"


class Part(NamedTuple):
    """One load: what is offered, and the requests with their times."""

    offered: Profile | Offered
    requests: tuple[PlannedRequest, ...]


@dataclass(frozen=True)
class Work:
    """What to measure with: loads one after the other, after a warm-up that is not counted."""

    source: str
    """The suite and scenario, or the request file."""
    model: str
    parts: tuple[Part, ...]
    warmup: tuple[PlannedRequest, ...] = ()
    count_tokens: CountTokens | None = None
    tokens_counted_by: str = "server usage"
    forced_length: bool = False
    min_success_rate: float = 0.98
    request_timeout_s: float = 600.0
    slo: Slo | None = None
    usd_per_hour: float | None = None
    """Price of the server."""
    recorder: Recorder = "auto"

    def for_model(self, model: str) -> "Work":
        """The same requests, asked of another model; those that name one of their own keep it."""
        if model == self.model:
            return self

        def renamed(requests: Sequence[PlannedRequest]) -> tuple[PlannedRequest, ...]:
            return tuple(replace(r, body=_renamed(r.body, self.model, model)) for r in requests)

        parts = tuple(Part(part.offered, renamed(part.requests)) for part in self.parts)
        return replace(self, model=model, parts=parts, warmup=renamed(self.warmup))


def _renamed(body: bytes, before: str, after: str) -> bytes:
    value = orjson.loads(body)
    return orjson.dumps(value | {"model": after}) if value["model"] == before else body


class MeasureRecord(Record):
    """The result of `inferencebench measure`. Distributions are over the successful requests of all loads."""

    measurement_version: int
    url: str
    model: str
    source: str
    made_at: str
    """UTC, ISO 8601."""
    client: str
    """Which recorder ran: `epoll+kernel-stamps`, ..."""
    tokens_counted_by: str
    """`tokenizer <path>`, `server usage`, or how many requests reported none and had their chunks counted."""
    loads: tuple[Profile | Offered, ...]
    warmup_requests: int
    requests: int
    succeeded: int
    failures: tuple[tuple[str, int], ...]
    """Reasons and how often, most frequent first."""
    ttft_s: Distribution | None
    """First token minus send."""
    ttft_scheduled_s: Distribution | None
    """First token minus scheduled send."""
    itl_s: Distribution | None
    """Gaps between streamed chunks."""
    read_gap_s: Distribution | None
    """Gaps between reads that brought content."""
    tpot_s: Distribution | None
    """(t_end - t_first) / (tokens after the first chunk's)."""
    latency_s: Distribution | None
    """Last token minus send."""
    latency_scheduled_s: Distribution | None
    """Last token minus scheduled send: queueing under the cap included."""
    requests_per_s: float
    """Geometric mean over the loads."""
    output_tokens_per_s: float
    """All tokens over the loads' summed wall time."""
    generation_tokens_per_s: float | None
    concurrency_mean: float
    concurrency_max: int
    tokens_per_chunk: float | None
    coalesced_share: float
    send_lag_s: Distribution | None
    """Sent minus due: the client's own lateness."""
    stamp_lag_s: Distribution | None
    """User minus kernel receive stamp."""
    connect_s: Distribution | None
    balanced_score: float | None
    valid: bool
    invalid_reasons: tuple[str, ...]
    calibration: CalibrationRef | None
    profiles: tuple[ProfileMetrics, ...]
    goodput: Goodput | None = None
    """None where no service level was given."""
    cost: Cost | None = None
    """None where no price was given."""


class Measured(NamedTuple):
    """A record and the samples it was made from."""

    record: MeasureRecord
    samples: Samples


def measure(
    target: Target,
    url: str,
    work: Work,
    on_progress: Callable[[str, Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> Measured:
    """Warm up, run every load, and work out the record. Failed requests are in it, never raised.

    `on_progress` gets the load's name; at most five times a second. `stop`, once set, ends the measurement early: the
    record is of what was seen, and not valid.
    """

    def run(part: Part) -> Recording:
        show = None if on_progress is None else functools.partial(on_progress, part.offered.name)
        return client.run(target, _plan(work, part), show, stop)

    if work.warmup:
        cap = min(len(work.warmup), work.parts[0].offered.concurrency)
        offered = Offered(name=WARMUP, arrival="burst", requests=len(work.warmup), concurrency=cap)
        run(Part(offered, work.warmup))
    samples = parse.merge([parse.samples(run(part), work.count_tokens) for part in work.parts])
    return Measured(record(url, work, samples, interrupted=stop is not None and stop.is_set()), samples)


def _plan(work: Work, part: Part) -> LoadPlan:
    offered = part.offered
    if not isinstance(offered, Offered) or offered.arrival != "closed":
        # An open load's schedule has its duration in it already.
        return LoadPlan(offered, part.requests, work.request_timeout_s, recorder=work.recorder)
    return LoadPlan(
        offered,
        part.requests,
        request_timeout_s=work.request_timeout_s,
        recorder=work.recorder,
        duration_s=offered.duration_s,
        repeat=offered.requests is None,
    )


def record(url: str, work: Work, samples: Samples, *, interrupted: bool = False) -> MeasureRecord:
    """The record of one measurement's samples."""
    result = measurement(by_profile(samples), work.min_success_rate, forced_length=work.forced_length)
    profiles = result.profiles
    good = [request for request in samples.requests if request.ok]
    names = {request.id for request in good}
    chunks = [chunk for chunk in samples.chunks if chunk.request in names]
    wall = sum(profile.wall_s for profile in profiles)
    tokens = sum(profile.output_tokens for profile in profiles)
    streaming = sum((r.end_s or 0.0) - (r.first_s or 0.0) for r in good)
    failures: dict[str, int] = {}
    for reason, count in (failure for profile in profiles for failure in profile.failures):
        failures[reason] = failures.get(reason, 0) + count
    return MeasureRecord(
        measurement_version=MEASUREMENT_VERSION,
        url=url,
        model=work.model,
        source=work.source,
        made_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        client=result.client,
        tokens_counted_by=_counted_by(work, good),
        loads=tuple(part.offered for part in work.parts),
        warmup_requests=len(work.warmup),
        requests=len(samples.requests),
        succeeded=len(good),
        failures=tuple(sorted(failures.items(), key=lambda item: -item[1])),
        ttft_s=distribution(map(ttft_s, good)),
        ttft_scheduled_s=distribution(None if r.first_s is None else r.first_s - r.scheduled_s for r in good),
        itl_s=distribution(gaps(chunks)),
        read_gap_s=distribution(gaps([chunk for chunk in chunks if not chunk.coalesced])),
        tpot_s=distribution(map(tpot_s, good)),
        latency_s=distribution(map(latency_s, good)),
        latency_scheduled_s=distribution(None if r.end_s is None else r.end_s - r.scheduled_s for r in good),
        requests_per_s=result.requests_per_s or 0.0,
        output_tokens_per_s=tokens / wall if wall > 0 else 0.0,
        generation_tokens_per_s=tokens / streaming if streaming > 0 else None,
        concurrency_mean=sum(p.concurrency_mean * p.wall_s for p in profiles) / wall if wall > 0 else 0.0,
        concurrency_max=max((p.concurrency_max for p in profiles), default=0),
        tokens_per_chunk=tokens / len(chunks) if chunks else None,
        coalesced_share=sum(chunk.coalesced for chunk in chunks) / len(chunks) if chunks else 0.0,
        send_lag_s=distribution(
            None if r.sent_s is None or r.due_s is None else r.sent_s - r.due_s for r in samples.requests
        ),
        stamp_lag_s=distribution(chunk.lag_s for chunk in samples.chunks),
        connect_s=distribution(request.connect_s for request in samples.requests),
        balanced_score=result.balanced_score,
        valid=result.valid and not interrupted,
        invalid_reasons=(("interrupted",) if interrupted else ()) + result.invalid_reasons,
        calibration=result.calibration,
        profiles=profiles,
        goodput=None if work.slo is None else goodput(samples.requests, work.slo, wall, _closed(work)),
        cost=None if work.usd_per_hour is None else cost(work.usd_per_hour, good, tokens, wall),
    )


def _closed(work: Work) -> frozenset[str]:
    return frozenset(part.offered.name for part in work.parts if part.offered.arrival in CLOSED)


def _counted_by(work: Work, good: Sequence[RequestSample]) -> str:
    silent = sum(request.usage_completion_tokens is None for request in good)
    if work.count_tokens is not None or not silent:
        return work.tokens_counted_by
    return f"{work.tokens_counted_by}; chunks for {silent} of {len(good)} requests without usage"
