"""This machine's client error and capacity, found by running the client against the mock server's own record."""

import platform
import time
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from inferencebench import MEASUREMENT_VERSION
from inferencebench.errors import InfrastructureError
from inferencebench.load import client, parse
from inferencebench.load.calibration import Calibration, ClientError, machine_name
from inferencebench.load.metrics import distribution
from inferencebench.load.mock import MockConfig, MockRequest, MockServer, request_number, words
from inferencebench.load.model import LoadPlan, PlannedRequest, Recorder, Samples, Target
from inferencebench.load.wire import chat_body
from inferencebench.suites.model import Profile
from inferencebench.workload.model import Message

STREAMS = 64
CHUNKS_PER_S = 100
TTFT_S = 0.2
_PROMPT = "A prompt of ordinary length. " * 40


class Observed(NamedTuple):
    """What a client saw of one request, CLOCK_MONOTONIC nanoseconds."""

    sent_ns: int
    chunks_ns: Sequence[int]


def compare(observed: Mapping[int, Observed], log: Sequence[MockRequest]) -> ClientError:
    """A client's times, by the mock's request number, against the mock's record.

    Raises InfrastructureError where a chunk is missing: such a run says nothing.
    """
    ttft: list[float] = []
    lateness: list[float] = []
    tpot: list[float] = []
    for row in log:
        seen = observed.get(row.number)
        if seen is None or len(seen.chunks_ns) != len(row.sent_ns):
            raise InfrastructureError(f"calibration: request {row.number} of the mock server came back incomplete")
        got, true = seen.chunks_ns, row.sent_ns
        ttft.append((got[0] - seen.sent_ns - (true[0] - row.received_ns)) / 1e9)
        lateness.extend((there - here) / 1e9 for there, here in zip(got, true, strict=True))
        if len(true) > 1:
            tpot.append((got[-1] - got[0] - (true[-1] - true[0])) / 1e9 / (len(true) - 1))
    errors, late = distribution(ttft), distribution(lateness)
    if errors is None or late is None or not tpot:
        raise InfrastructureError("calibration: the mock server recorded nothing")
    return ClientError(ttft_error_s=errors, chunk_lateness_s=late, tpot_error_s=fmean(tpot))


def burst_plan(streams: int, tokens: int, cpu: int | None, recorder: Recorder = "auto") -> LoadPlan:
    """`streams` requests of `tokens` chunks, all at once."""
    body = chat_body(
        "mock", [Message(role="user", content=_PROMPT)], max_tokens=tokens, temperature=0.0, seed=1, force_length=True
    )
    planned = tuple(PlannedRequest(f"mock/{i:04d}", body, 0.0, tokens, 1) for i in range(streams))
    profile = Profile(name="mock", arrival="burst", requests=streams, concurrency=streams)
    return LoadPlan(profile, planned, request_timeout_s=120.0, cpu=cpu, recorder=recorder)


class Trial(NamedTuple):
    """One run against the mock: what the client saw, and its CPU seconds."""

    observed: dict[int, Observed]
    client: str
    chunks: int
    receive_cpu_s: float
    parse_cpu_s: float


def trial(target: Target, plan: LoadPlan) -> Trial:
    """Run and parse one plan."""
    recording = client.run(target, plan)
    before = time.thread_time()
    samples = parse.samples(recording, words)
    parse_s = time.thread_time() - before
    seen = observed(samples, recording.start_ns)
    return Trial(seen, recording.client, len(samples.chunks), recording.cpu_s, parse_s)


def observed(samples: Samples, start_ns: int) -> dict[int, Observed]:
    """What was seen of a mock's replies, by its request numbers; `start_ns` is the profile's zero."""
    times: dict[str, list[int]] = {request.id: [] for request in samples.requests}
    for chunk in samples.chunks:
        times[chunk.request].append(round(chunk.t_s * 1e9))
    return {
        request_number(request.text): Observed(start_ns + round((request.sent_s or 0.0) * 1e9), times[request.id])
        for request in samples.requests
        if request.text
    }


def calibrate(
    *,
    seconds: float = 3.0,
    streams: int = STREAMS,
    server_cpu: int | None = None,
    client_cpu: int | None = None,
    recorder: Recorder = "auto",
) -> Calibration:
    """Measure a recorder against the mock: `seconds` of exactness at 100 chunks/s a stream, then its capacity."""
    gap_s = 1 / CHUNKS_PER_S
    tokens = max(2, round(seconds * CHUNKS_PER_S))
    with MockServer(MockConfig(TTFT_S, gap_s, cpu=server_cpu)) as server:
        exact = trial(server.target(), burst_plan(streams, tokens, client_cpu, recorder))
        error = compare(exact.observed, server.stop())
    with MockServer(MockConfig(0.0, 0.0, cpu=server_cpu)) as server:
        free = trial(server.target(), burst_plan(streams, 2 * tokens, client_cpu, recorder))
    return Calibration(
        measurement_version=MEASUREMENT_VERSION,
        client=exact.client,
        machine=machine_name(),
        kernel=platform.release(),
        made_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        streams=streams,
        chunks_per_s=CHUNKS_PER_S,
        error=error,
        cpu_us_per_chunk=exact.receive_cpu_s / exact.chunks * 1e6,
        parse_us_per_chunk=exact.parse_cpu_s / exact.chunks * 1e6,
        capacity_chunks_per_s=free.chunks / (free.receive_cpu_s + free.parse_cpu_s),
    )
