"""What the load stage takes and gives: a plan of requests against a target, a recording, and metrics with units.

The recording holds raw times and bytes only; HTTP, SSE, tokens and statistics are worked out after the run.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass

from inferencebench.suites.model import Profile, Record


@dataclass(frozen=True)
class Target:
    """Where requests go. `connect` opens one TCP socket (through a sandbox's wall if there is one)."""

    connect: Callable[[], socket.socket]
    host: str
    """Value of the HTTP Host header."""
    path: str = "/v1/chat/completions"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class PlannedRequest:
    """One request, encoded before the run."""

    id: str
    body: bytes
    offset_s: float
    """Scheduled send after the start of the profile."""
    max_tokens: int
    prompt_tokens: int


@dataclass(frozen=True)
class LoadPlan:
    """One profile's requests and bounds. `requests` are sent in order, at most `profile.concurrency` in flight."""

    profile: Profile
    requests: tuple[PlannedRequest, ...]
    request_timeout_s: float
    cpu: int | None = None
    """Core the client is pinned to."""


class Distribution(Record):
    """Mean and percentiles (linear interpolation) of one quantity over successful requests."""

    mean: float
    p50: float
    p90: float
    p99: float
    n: int


class RequestSample(Record):
    """One request after parsing. Times are monotonic seconds after the profile's start, None if not reached."""

    id: str
    profile: str
    ok: bool
    error: str | None
    """Why it failed: `http 500`, `timeout`, `reset`, `no content`, ... None when ok."""
    status: int | None
    scheduled_s: float
    sent_s: float | None
    first_s: float | None
    """First non-empty content, reasoning or tool delta."""
    end_s: float | None
    """Last content delta."""
    prompt_tokens: int
    """As planned by the workload."""
    max_tokens: int
    usage_prompt_tokens: int | None
    usage_completion_tokens: int | None
    cached_tokens: int | None
    """As reported by the server."""
    output_tokens: int | None
    """Re-tokenized from the text."""
    first_chunk_tokens: int | None
    """Tokens of the first content chunk."""
    finish_reason: str | None
    text: str
    chunks: int


class ChunkSample(Record):
    """One SSE content event."""

    request: str
    chunk: int
    t_s: float
    """Receive time on CLOCK_MONOTONIC, absolute seconds."""
    bytes: int
    text: str
    coalesced: bool
    """It arrived in the same read as the one before it."""


class ProfileMetrics(Record):
    """Metrics of one profile: sections "Metrics" of the benchmark's definition. Over successful requests only."""

    profile: str
    requests: int
    succeeded: int
    wall_s: float
    """First send to last end."""
    ttft_s: Distribution | None
    """First token minus send."""
    ttft_scheduled_s: Distribution | None
    """First token minus scheduled send: shows queueing that a concurrency cap hides."""
    tpot_s: Distribution | None
    """(t_end - t_first) / (tokens after the first chunk's)."""
    itl_s: Distribution | None
    """Gaps between streamed chunks."""
    latency_s: Distribution | None
    """End minus send."""
    requests_per_s: float
    output_tokens_per_s: float
    generation_tokens_per_s: float
    """Sum of tokens over sum of (t_end - t_first)."""
    concurrency_mean: float
    concurrency_max: int
    send_lag_s: Distribution | None
    """Sent minus due: how late the client itself was."""
    coalesced_share: float
    cached_tokens: int | None
    output_tokens: int


class Measurement(Record):
    """The measured result of a request set, all profiles, with its validity."""

    measurement_version: int
    client: str
    """Which recorder ran: `epoll+kernel-stamps`, `asyncio+uvloop`, ..."""
    profiles: tuple[ProfileMetrics, ...]
    ttft_s: float | None
    """Mean over all successful requests."""
    tpot_s: float | None
    requests_per_s: float | None
    """Geometric mean over the profiles."""
    balanced_score: float | None
    """(1/TTFT * 1/TPOT * req/s)^(1/3), means, seconds."""
    valid: bool
    invalid_reasons: tuple[str, ...]
    client_stamp_lag_p99_s: float | None = None
    """User minus kernel receive stamp; large when the client starved."""
