"""What the load stage takes and gives: a plan of requests against a target, a recording, and metrics with units.

The recording holds raw times and bytes only; HTTP, SSE, tokens and statistics are worked out after the run.
"""

import socket
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from inferencebench.suites.model import Profile, Record

Recorder = Literal["auto", "epoll", "portable"]


@dataclass(frozen=True)
class Target:
    """Where requests go. `connect` opens one TCP socket (through a sandbox's wall if there is one)."""

    connect: Callable[[], socket.socket]
    """A connected socket, in bounded time; OSError when nobody listens. Called from this and from a helper thread."""
    host: str
    """Value of the HTTP Host header."""
    path: str = "/v1/chat/completions"
    headers: tuple[tuple[str, str], ...] = ()


class Offered(Record):
    """A load outside a suite: how requests are offered, at most `concurrency` of them in flight."""

    name: str
    arrival: Literal["burst", "closed", "poisson", "constant", "trace"]
    requests: int | None
    """How many were to be sent; None where only the duration bounds a closed load."""
    concurrency: int
    rate_per_s: float | None = None
    duration_s: float | None = None
    """No request is scheduled later than this after the load's start."""


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

    profile: Profile | Offered
    requests: tuple[PlannedRequest, ...]
    request_timeout_s: float
    """From a request's first write to the end of its response."""
    total_timeout_s: float | None = None
    """From the profile's start; what is unfinished then fails. None leaves only the bound of each request."""
    cpu: int | None = None
    """Core the client is pinned to."""
    recorder: Recorder = "auto"
    """`auto` takes epoll with kernel stamps on Linux, else the portable poll loop with user-space stamps."""
    duration_s: float | None = None
    """After this none is started; what was not sent by then is no part of the recording."""
    repeat: bool = False
    """With `duration_s`: go round `requests` again and again meanwhile; ids get `#<round>`."""


class Progress(NamedTuple):
    """Where a run stands. `done` counts finished requests, the `failed` ones included."""

    done: int
    failed: int
    in_flight: int
    total: int | None
    """None where only a duration bounds the run."""
    elapsed_s: float
    reads: int = 0
    """Reads of all requests so far: about the chunks, less those that came together."""
    ttft_s: float | None = None
    """Running estimate from requests that ended lately, without a parse; the record has the true values."""
    tpot_s: float | None = None
    """Running estimate, likewise: time per event."""


@dataclass(slots=True)
class Exchange:
    """One request as recorded: raw bytes and the times of every read. All times are CLOCK_MONOTONIC nanoseconds."""

    id: str
    offset_s: float
    max_tokens: int
    prompt_tokens: int
    due_ns: int | None = None
    """When it could have gone out: the later of its schedule and the moment a connection under the cap was free."""
    sent_ns: int | None = None
    """Just before the first write of its first attempt."""
    ended_ns: int | None = None
    """End of the response, or when it was given up."""
    error: str | None = None
    """Why the transport failed; None when a whole response was read."""
    connect_s: float | None = None
    """How long its connection took to open, before `sent_ns`."""
    attempts: int = 0
    """2 when the server had closed the idle connection it was first written to; the time of both counts."""
    body_bytes: int = 0
    """Of the request."""
    raw: bytearray = field(default_factory=bytearray)
    """Everything received, head included."""
    kernel_ns: "array[int]" = field(default_factory=lambda: array("q"))
    """Per read: the kernel's receive time of its last segment; 0 where the kernel gave none."""
    user_ns: "array[int]" = field(default_factory=lambda: array("q"))
    """Per read: when the client had the bytes."""
    ends: "array[int]" = field(default_factory=lambda: array("q"))
    """Per read: length of `raw` after it."""


@dataclass(frozen=True)
class Recording:
    """Everything one profile's run left: exchanges in the plan's order."""

    client: str
    """Which recorder ran: `epoll+kernel-stamps`, `epoll+user-stamps` or `poll+user-stamps`."""
    profile: Profile | Offered
    start_ns: int
    """CLOCK_MONOTONIC of the profile's zero."""
    exchanges: tuple[Exchange, ...]
    connects_s: tuple[float, ...]
    """Every connection opened; none lies in a timed interval."""
    cpu_s: float
    """CPU time of the client's thread from start to last byte, user and system."""
    clock_steps: int
    """How often CLOCK_REALTIME, the kernel stamps' clock, was set during the run."""


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
    """All generated text in order of arrival: reasoning, content, tool calls."""
    chunks: int
    counted_tokens: int | None = None
    """Tokens that every metric uses; see `inferencebench.load.parse.counted_tokens` for the rule."""
    due_s: float | None = None
    """Schedule, or the moment the cap let it go if that was later."""
    closed_s: float | None = None
    """End of the response (after usage and `[DONE]`), or when it was given up."""
    connect_s: float | None = None
    """Opening of its connection, before `sent_s` and in no interval."""
    attempts: int = 1
    detail: str = ""
    """First characters of an error reply's body."""
    client: str = ""
    """Which recorder ran, as in `Recording.client`."""
    body_bytes: int = 0
    """Of the request as it was sent: the prompt's length where nobody counts its tokens."""
    start_s: float | None = None
    """The profile's start on CLOCK_MONOTONIC: added to the times above, it makes them comparable to a server's log."""


class ChunkSample(NamedTuple):
    """One SSE content event. A tuple, since a paper-scale profile has half a million."""

    request: str
    chunk: int
    t_s: float
    """Receive time on CLOCK_MONOTONIC, absolute seconds."""
    bytes: int
    text: str
    coalesced: bool
    """It arrived in the same read as the one before it."""
    lag_s: float | None = None
    """User minus kernel receive stamp; None without kernel stamps."""


class Samples(NamedTuple):
    """What a recording says once parsed: one row per request, one per content event."""

    requests: list[RequestSample]
    chunks: list[ChunkSample]


class ProfileMetrics(Record):
    """Metrics of one profile: sections "Metrics" of the benchmark's definition. Over successful requests only."""

    profile: str
    requests: int
    succeeded: int
    wall_s: float
    """First send to the end of the last response, failed ones included."""
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
    generation_tokens_per_s: float | None
    """Sum of tokens over sum of (t_end - t_first); None where nothing was streamed."""
    concurrency_mean: float
    concurrency_max: int
    send_lag_s: Distribution | None
    """Sent minus due: how late the client itself was."""
    coalesced_share: float
    """Chunks that came in the same read as the one before, of all chunks."""
    cached_tokens: int | None
    """Sum over the requests that report it; None when none does."""
    output_tokens: int
    """Sum of the counted tokens."""
    latency_scheduled_s: Distribution | None = None
    """End minus scheduled send."""
    read_gap_s: Distribution | None = None
    """Gaps between reads that brought content: ITL without the zeros of coalesced chunks."""
    connect_s: Distribution | None = None
    """Opening of the connections used; part of no latency."""
    stamp_lag_s: Distribution | None = None
    """User minus kernel receive stamp, per chunk."""
    tokens_per_chunk: float | None = None
    full_length_share: float | None = None
    """Successful requests whose counted tokens reach `max_tokens`, of all successful ones."""
    failures: tuple[tuple[str, int], ...] = ()
    """Reasons of the failed requests and how often, most frequent first."""
    concurrency_over_time: tuple[float, ...] = ()
    """Mean requests in flight in each of 20 equal parts of `wall_s`: ramp, plateau and tail of the load."""


class CalibrationRef(Record):
    """Names the stored calibration of the machine that a measurement was taken on, with its main figures."""

    sha256: str
    """Of the calibration's canonical JSON."""
    made_at: str
    client: str
    """Which recorder was calibrated."""
    ttft_error_mean_s: float
    ttft_error_p99_s: float
    chunk_lateness_p99_s: float
    tpot_error_s: float
    capacity_chunks_per_s: float


class Measurement(Record):
    """The measured result of a request set, all profiles, with its validity."""

    measurement_version: int
    client: str
    """Which recorder ran: `epoll+kernel-stamps`, ..."""
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
    calibration: CalibrationRef | None = None
    """None where the client was never calibrated on this machine (`inferencebench doctor --calibrate`)."""
