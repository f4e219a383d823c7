"""Samples to metrics. Latencies are over successful requests only, and failed requests are never throughput.

The formulas are those of the InferenceBench paper (section "Metrics") with two corrections: tokens are re-tokenized,
not words or the server's word, and TPOT does not divide by the tokens of the first chunk, whose time is TTFT.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean, geometric_mean

from inferencebench import MEASUREMENT_VERSION
from inferencebench.load.calibration import stored_calibration
from inferencebench.load.model import ChunkSample, Distribution, Measurement, ProfileMetrics, RequestSample, Samples
from inferencebench.load.parse import USAGE_TOLERANCE_SHARE, USAGE_TOLERANCE_TOKENS

MAX_SEND_LAG_S = 0.05
"""A p99 send lag above this means that the schedule slipped: the load was not the one asked for."""
MAX_STAMP_LAG_S = 0.05
"""A p99 user - kernel stamp lag above this means that the client starved for CPU."""

CONCURRENCY_PARTS = 20
"""Parts of a profile's wall time in `concurrency_over_time`."""


def ttft_s(request: RequestSample) -> float | None:
    """Time to first token: first_s - sent_s, from the first write to the first non-empty delta (paper, "Metrics")."""
    if not request.ok or request.first_s is None or request.sent_s is None:
        return None
    return request.first_s - request.sent_s


def tpot_s(request: RequestSample) -> float | None:
    """Time per output token: (end_s - first_s) / (counted_tokens - first_chunk_tokens), seconds.

    The paper's (t_end - t_first) / (n - 1), for streams whose first chunk holds one token. None where no token came
    after the first chunk.
    """
    if not request.ok or request.first_s is None or request.end_s is None:
        return None
    later = (request.counted_tokens or 0) - (request.first_chunk_tokens or 0)
    return (request.end_s - request.first_s) / later if later > 0 else None


def latency_s(request: RequestSample) -> float | None:
    """Request latency: end_s - sent_s, to the last token."""
    if not request.ok or request.end_s is None or request.sent_s is None:
        return None
    return request.end_s - request.sent_s


def send_lag_s(request: RequestSample) -> float | None:
    """How late the client itself was: sent_s - due_s, of any request that was sent."""
    if request.sent_s is None or request.due_s is None:
        return None
    return request.sent_s - request.due_s


def distribution(values: Iterable[float | None]) -> Distribution | None:
    """Mean and percentiles of what is there; None for nothing.

    Percentile q of n sorted values lies at rank q / 100 * (n - 1), between two ranks by linear interpolation
    (definition 7 of Hyndman and Fan, 1996; the default of numpy).
    """
    import numpy as np

    present = np.array([value for value in values if value is not None])
    if not present.size:
        return None
    mean = float(present.mean())
    present.sort()

    def percentile(q: int) -> float:
        rank = (present.size - 1) * q / 100
        below = float(present[int(rank)])
        above = float(present[min(int(rank) + 1, present.size - 1)])
        return min(above, below + (above - below) * (rank - int(rank)))

    return Distribution(mean=mean, p50=percentile(50), p90=percentile(90), p99=percentile(99), n=present.size)


def by_profile(samples: Samples) -> dict[str, Samples]:
    """Samples of several profiles, taken apart by profile, in order of first appearance."""
    profile_of = {request.id: request.profile for request in samples.requests}
    parts = {profile: Samples([], []) for profile in profile_of.values()}
    for request in samples.requests:
        parts[request.profile].requests.append(request)
    for chunk in samples.chunks:
        parts[profile_of[chunk.request]].chunks.append(chunk)
    return parts


def profile_metrics(profile: str, samples: Samples) -> ProfileMetrics:
    """All metrics of one profile's samples.

    requests_per_s = succeeded / wall_s; output_tokens_per_s = sum n / wall_s; generation_tokens_per_s = sum n /
    sum (end_s - first_s), n = counted tokens (paper, "Metrics"). wall_s runs from the first send to the end of the last
    response, failed ones included: a stalled request costs its time.
    """
    requests = samples.requests
    good = [request for request in requests if request.ok]
    names = {request.id for request in good}
    chunks = [chunk for chunk in samples.chunks if chunk.request in names]
    spans = [(r.sent_s, r.closed_s if r.closed_s is not None else r.end_s) for r in requests if r.sent_s is not None]
    intervals = [(sent, end) for sent, end in spans if end is not None]
    wall = max(end for _, end in intervals) - min(sent for sent, _ in intervals) if intervals else 0.0
    tokens = sum(request.counted_tokens or 0 for request in good)
    streaming = sum((r.end_s or 0.0) - (r.first_s or 0.0) for r in good)
    cached = [request.cached_tokens for request in good if request.cached_tokens is not None]
    full = sum((r.counted_tokens or 0) >= r.max_tokens for r in good)
    reasons = Counter(request.error or "failed" for request in requests if not request.ok)
    return ProfileMetrics(
        profile=profile,
        requests=len(requests),
        succeeded=len(good),
        wall_s=wall,
        ttft_s=distribution(map(ttft_s, good)),
        ttft_scheduled_s=distribution(None if r.first_s is None else r.first_s - r.scheduled_s for r in good),
        tpot_s=distribution(map(tpot_s, good)),
        itl_s=distribution(gaps(chunks)),
        latency_s=distribution(map(latency_s, good)),
        requests_per_s=len(good) / wall if wall > 0 else 0.0,
        output_tokens_per_s=tokens / wall if wall > 0 else 0.0,
        generation_tokens_per_s=tokens / streaming if streaming > 0 else None,
        concurrency_mean=sum(end - sent for sent, end in intervals) / wall if wall > 0 else 0.0,
        concurrency_max=_most_at_once(intervals),
        send_lag_s=distribution(map(send_lag_s, requests)),
        coalesced_share=sum(chunk.coalesced for chunk in chunks) / len(chunks) if chunks else 0.0,
        cached_tokens=sum(cached) if cached else None,
        output_tokens=tokens,
        latency_scheduled_s=distribution(None if r.end_s is None else r.end_s - r.scheduled_s for r in good),
        read_gap_s=distribution(gaps([chunk for chunk in chunks if not chunk.coalesced])),
        connect_s=distribution(request.connect_s for request in requests),
        stamp_lag_s=distribution(chunk.lag_s for chunk in samples.chunks),
        tokens_per_chunk=tokens / len(chunks) if chunks else None,
        full_length_share=full / len(good) if good else None,
        failures=tuple(reasons.most_common()),
        concurrency_over_time=concurrency_over_time(intervals),
    )


def concurrency_over_time(
    intervals: Sequence[tuple[float, float]], parts: int = CONCURRENCY_PARTS
) -> tuple[float, ...]:
    """Mean requests in flight in each of `parts` equal parts of the wall time: time in flight there / its length.

    Empty without a request that was sent, or where all took no time.
    """
    import numpy as np

    if not intervals:
        return ()
    sent, ended = np.array(intervals).T
    edges = np.linspace(sent.min(), ended.max(), parts + 1)
    if edges[-1] <= edges[0]:
        return ()
    # The integral of the step function at each edge; its differences are the parts.
    spent = [float(np.clip(edge - sent, 0, ended - sent).sum()) for edge in edges]
    return tuple((later - earlier) / (edges[1] - edges[0]) for earlier, later in pairwise(spent))


def gaps(chunks: Sequence[ChunkSample]) -> list[float]:
    """Inter-token latencies as streamed: t[i+1] - t[i] between the chunks of a request (paper: ITL)."""
    return [later.t_s - earlier.t_s for earlier, later in pairwise(chunks) if later.request == earlier.request]


def measurement(
    samples_by_profile: Mapping[str, Samples],
    min_success_rate: float,
    *,
    max_send_lag_s: float = MAX_SEND_LAG_S,
    max_stamp_lag_s: float = MAX_STAMP_LAG_S,
    forced_length: bool = False,
) -> Measurement:
    """The measured result of a request set, with the reasons why it may not be valid.

    `forced_length`: every request asked for exactly `max_tokens`, and shorter replies make the result invalid.

    ttft_s and tpot_s: means over all successful requests. requests_per_s: geometric mean over the profiles, 0 when one
    has no success. balanced_score = (1/TTFT * 1/TPOT * requests_per_s)^(1/3), seconds (paper, scenario D).
    """
    profiles = tuple(profile_metrics(name, samples) for name, samples in samples_by_profile.items())
    requests = [request for samples in samples_by_profile.values() for request in samples.requests]
    ttft, tpot = _mean(map(ttft_s, requests)), _mean(map(tpot_s, requests))
    rates = [profile.requests_per_s for profile in profiles]
    rate = None if not rates else geometric_mean(rates) if min(rates) > 0 else 0.0
    reasons = [
        f"{metrics.profile}: {reason}"
        for metrics in profiles
        for reason in invalid_reasons(metrics, min_success_rate, max_send_lag_s, max_stamp_lag_s)
    ]
    if forced_length:
        reasons += [f"{name}: {reason}" for name, s in samples_by_profile.items() if (reason := too_short(s))]
    if not requests:
        reasons.append("nothing was measured")
    lag = distribution(chunk.lag_s for samples in samples_by_profile.values() for chunk in samples.chunks)
    client = ", ".join(dict.fromkeys(request.client for request in requests))
    calibration = stored_calibration(client)
    return Measurement(
        measurement_version=MEASUREMENT_VERSION,
        client=client,
        profiles=profiles,
        ttft_s=ttft,
        tpot_s=tpot,
        requests_per_s=rate,
        balanced_score=(rate / (ttft * tpot)) ** (1 / 3) if ttft and tpot and rate else None,
        valid=not reasons,
        invalid_reasons=tuple(reasons),
        client_stamp_lag_p99_s=None if lag is None else lag.p99,
        calibration=None if calibration is None else calibration.reference,
    )


def invalid_reasons(
    metrics: ProfileMetrics, min_success_rate: float, max_send_lag_s: float, max_stamp_lag_s: float
) -> list[str]:
    """Why a profile's numbers must not be used; empty when they may."""
    reasons = []
    failures = ", ".join(f"{count} x {reason}" for reason, count in metrics.failures)
    if not metrics.succeeded:
        reasons.append(f"no successful request of {metrics.requests} ({failures})")
    elif metrics.succeeded < min_success_rate * metrics.requests:
        reasons.append(
            f"success rate {metrics.succeeded}/{metrics.requests} is below {min_success_rate:g} ({failures})"
        )
    return reasons + client_faults(metrics, max_send_lag_s, max_stamp_lag_s)


def client_faults(
    metrics: ProfileMetrics, max_send_lag_s: float = MAX_SEND_LAG_S, max_stamp_lag_s: float = MAX_STAMP_LAG_S
) -> list[str]:
    """Why our side, not the server, spoiled a profile; empty when it did not."""
    faults = []
    if metrics.stamp_lag_s is not None and metrics.stamp_lag_s.p99 > max_stamp_lag_s:
        faults.append(
            f"client starved: p99 of the receive lag is {metrics.stamp_lag_s.p99:.3f} s, above {max_stamp_lag_s:g} s"
        )
    if metrics.send_lag_s is not None and metrics.send_lag_s.p99 > max_send_lag_s:
        faults.append(
            f"schedule slipped: p99 of the send lag is {metrics.send_lag_s.p99:.3f} s, above {max_send_lag_s:g} s"
        )
    return faults


def too_short(samples: Samples) -> str | None:
    """Why the successful replies are too short for a forced length; None where they are not.

    Judged over all of them together: their counted tokens lack no more than max(3, 2 %) a reply, by which an honest
    re-tokenization may differ. One reply of odd text may differ by more, and gains nothing for the rest.
    """
    good = [request for request in samples.requests if request.ok]
    asked = sum(r.max_tokens for r in good)
    allowed = sum(max(USAGE_TOLERANCE_TOKENS, USAGE_TOLERANCE_SHARE * r.max_tokens) for r in good)
    counted = sum(r.counted_tokens or 0 for r in good)
    if counted >= asked - allowed:
        return None
    return f"lengths not honoured: {counted} of {asked} forced tokens in {len(good)} replies"


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return fmean(present) if present else None


def _most_at_once(intervals: Sequence[tuple[float, float]]) -> int:
    """Most requests in flight at any time; an end and a send at the same time are not at once."""
    most = now = 0
    for _, step in sorted([(sent, 1) for sent, _ in intervals] + [(end, -1) for _, end in intervals]):
        now += step
        most = max(most, now)
    return most
