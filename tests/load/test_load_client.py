"""The client against a real server process: schedules, misbehaviour, lost connections, interrupts."""

import os
import socket
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import fmean

import pytest
from load_helpers import NS, measure, plan

from inferencebench.load import client, parse
from inferencebench.load.metrics import measurement, profile_metrics
from inferencebench.load.mock import MockConfig, MockServer, request_number, words
from inferencebench.load.model import Progress
from inferencebench.load.wire import tcp_target

FAST = MockConfig(ttft_s=0.02, gap_s=0.001)
LATE_S = 0.1
"""What a busy machine may add to one request; the truth is measured by the benchmark, not by these tests."""


@pytest.mark.parametrize("recorder", ["epoll", "portable"])
def test_every_request_comes_back_whole_and_at_the_servers_times(recorder: str) -> None:
    samples, log = measure(FAST, plan(12, 4, tokens=20, recorder=recorder))
    assert {request.client for request in samples.requests} <= {"epoll+kernel-stamps", "poll+user-stamps"}
    assert [request.id for request in samples.requests] == [f"p/{i:04d}" for i in range(12)]
    sent_by_number = {row.number: row.sent_ns for row in log}
    for request in samples.requests:
        assert (request.ok, request.counted_tokens, request.chunks, request.finish_reason) == (True, 20, 20, "length")
        assert request.text == f" r{request_number(request.text)}" + "".join(f" t{i}" for i in range(1, 20))
        sent = sent_by_number.pop(request_number(request.text))
        got = [chunk.t_s for chunk in samples.chunks if chunk.request == request.id]
        # A chunk cannot arrive before it is sent; kernel stamps are converted between clocks with an error below 10 us.
        assert all(-1e-5 < there - here / NS < LATE_S for there, here in zip(got, sent, strict=True))
    assert profile_metrics("p", samples).concurrency_max <= 4


def test_burst_starts_together_and_keeps_the_cap() -> None:
    samples, _ = measure(MockConfig(ttft_s=0.2, gap_s=0.0), plan(16, 8, tokens=2))
    sent = sorted(request.sent_s or 0.0 for request in samples.requests)
    assert sent[7] - sent[0] < LATE_S
    assert sent[8] - sent[0] >= 0.2
    assert profile_metrics("p", samples).concurrency_max == 8


def test_latency_from_schedule_exceeds_latency_from_send_by_the_queueing_time() -> None:
    # Cap 1, a service of 0.05 + 9 * 0.01 = 0.14 s, arrivals 0.04 s apart: request i waits i * (0.14 - 0.04) s, and as
    # much longer as a busy machine served those before it late, which the server's own record says.
    arrivals = [0.04 * i for i in range(5)]
    samples, log = measure(MockConfig(ttft_s=0.05, gap_s=0.01), plan(5, 1, tokens=10, offsets=arrivals))
    late = 0.0
    for i, (request, row) in enumerate(zip(samples.requests, log, strict=True)):
        assert request.sent_s is not None
        assert request.end_s is not None
        from_schedule, from_send = request.end_s - request.scheduled_s, request.end_s - request.sent_s
        assert from_schedule - from_send == pytest.approx(0.1 * i + late, abs=LATE_S)
        late += (row.sent_ns[-1] - row.received_ns) / NS - 0.14
    metrics = profile_metrics("p", samples)
    assert metrics.latency_s is not None
    assert metrics.latency_scheduled_s is not None
    queued = fmean((r.sent_s or 0.0) - r.scheduled_s for r in samples.requests)
    assert metrics.latency_scheduled_s.mean - metrics.latency_s.mean == pytest.approx(queued)
    assert queued >= 0.2 - 0.01
    assert metrics.send_lag_s is not None
    assert metrics.send_lag_s.p99 < LATE_S


def test_open_arrivals_are_sent_when_due_and_not_before() -> None:
    arrivals = [0.0, 0.013, 0.0471, 0.1, 0.1002, 0.25]
    samples, _ = measure(FAST, plan(6, 6, tokens=2, offsets=arrivals))
    for request, due in zip(samples.requests, arrivals, strict=True):
        assert request.sent_s is not None
        assert 0 <= request.sent_s - due < LATE_S


def test_role_only_event_and_comment_start_no_clock() -> None:
    config = MockConfig(ttft_s=0.15, gap_s=0.001, behaviours=("role-event-first",))
    samples, _ = measure(config, plan(3, 3))
    for request in samples.requests:
        assert request.first_s is not None
        assert request.sent_s is not None
        assert 0.15 <= request.first_s - request.sent_s < 0.15 + LATE_S
        assert request.chunks == 10


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        ("http500", "http 500"),
        ("stall", "timeout"),
        ("reset", "reset"),
        ("trickle", "timeout"),
        ("garbage", "garbage: not an HTTP/1 response"),
        ("never-end", "timeout"),
        ("truncate", "closed early"),
    ],
)
def test_misbehaviour_ends_in_bounded_time_with_its_reason(behaviour: str, error: str) -> None:
    config = MockConfig(ttft_s=0.02, gap_s=0.002, behaviours=("ok", behaviour))
    start = time.monotonic()
    samples, log = measure(config, plan(6, 2, timeout_s=0.4))
    assert time.monotonic() - start < 5
    wrong = [row.number for row in log if row.behaviour == behaviour]
    failed = [request for request in samples.requests if not request.ok]
    assert len(failed) == len(wrong)
    assert {request.error for request in failed} == {error}
    assert all(request.closed_s is not None for request in samples.requests)
    if behaviour in ("reset", "truncate", "never-end"):
        assert all(request.text.split()[1] == "t1" for request in failed)
    result = measurement({"p": samples}, 0.98)
    assert not result.valid
    assert "success rate" in result.invalid_reasons[0]


def test_a_server_of_errors_has_no_throughput_and_is_invalid() -> None:
    samples, _ = measure(MockConfig(behaviours=("http500",)), plan(50, 8))
    result = measurement({"p": samples}, 0.98)
    assert (result.valid, result.requests_per_s, result.ttft_s, result.balanced_score) == (False, 0.0, None, None)
    assert result.profiles[0].output_tokens_per_s == 0
    assert samples.requests[0].detail == "busy"


@pytest.mark.parametrize("behaviour", ["close-after", "drop-after"])
def test_connections_that_the_server_closes_are_replaced(behaviour: str) -> None:
    config = MockConfig(ttft_s=0.02, gap_s=0.001, behaviours=(behaviour,))
    samples, log = measure(config, plan(9, 3))
    assert all(request.ok for request in samples.requests)
    assert all(request.attempts <= 2 for request in samples.requests)
    assert len(log) == 9


def test_nobody_listens() -> None:
    with MockServer() as server:
        target = tcp_target("127.0.0.1", server.port)
    recording = client.run(target, plan(100, 10))
    assert {exchange.error for exchange in recording.exchanges} == {"connect: refused"}


def test_a_server_that_dies_fails_what_is_left_and_keeps_what_was() -> None:
    with MockServer(MockConfig(ttft_s=0.05, gap_s=0.001)) as server:
        killed = []

        def kill(progress: Progress) -> None:
            if progress.elapsed_s > 0.2 and not killed:
                os.kill(server.pid, 9)
                killed.append(progress.done)

        start = time.monotonic()
        recording = client.run(server.target(), plan(200, 4), kill)
    assert time.monotonic() - start < 5
    samples = parse.samples(recording, words)
    assert killed
    assert sum(request.ok for request in samples.requests) >= killed[0] > 0
    assert {request.error for request in samples.requests} <= {None, "reset", "closed early", "connect: refused"}
    assert samples.requests[-1].error == "connect: refused"


def test_profile_out_of_time_records_what_was_not_sent() -> None:
    samples, log = measure(MockConfig(ttft_s=0.15, gap_s=0.0), plan(20, 1, tokens=2, total_timeout_s=0.5))
    errors = [request.error for request in samples.requests]
    # Three fit into the half second, fewer on a busy machine.
    whole = errors.count(None)
    assert 0 < whole <= 3
    assert errors[whole] == "timeout"
    assert errors[whole + 1 :] == ["not sent: the profile ran out of time"] * (19 - whole)
    assert len(log) == whole + 1


def test_a_large_prompt_is_sent_in_parts() -> None:
    samples, _ = measure(FAST, plan(2, 2, prompt="word " * 2_000_000))
    assert all(request.ok for request in samples.requests)


def test_a_flood_is_cut_off() -> None:
    config = MockConfig(ttft_s=0.0, gap_s=0.0, behaviours=("never-end",))
    samples, _ = measure(config, plan(1, 1, tokens=1, timeout_s=30))
    assert samples.requests[0].error == "response too long"


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_leaves_no_sockets(error: Callable[[], BaseException]) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.in_flight:
            raise error()

    with MockServer(MockConfig(ttft_s=5.0)) as server:
        before = open_files()
        with pytest.raises((KeyboardInterrupt, ValueError)):
            client.run(server.target(), plan(8, 8), interrupt)
        assert open_files() == before


def test_progress_counts_up_to_all() -> None:
    seen: list[Progress] = []
    with MockServer(FAST) as server:
        client.run(server.target(), plan(5, 2), seen.append)
        client.run(server.target(), plan(5, 2))
    assert seen[-1][:4] == (5, 0, 0, 5)
    assert all(later.elapsed_s - earlier.elapsed_s >= 0.19 for earlier, later in pairwise(seen[:-1]))


@pytest.mark.parametrize("body", [b"not json", b"[1]", b'{"max_tokens": "many"}'])
def test_the_mock_refuses_bad_bodies_and_lives_on(body: bytes) -> None:
    with MockServer(MockConfig(0.0, 0.0)) as server, socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert sock.recv(100).startswith(b"HTTP/1.1 400")
        chunked = b'{"max_completion_tokens": 2}'
        head = b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        for piece in (head, b"%x\r\n" % len(chunked), chunked + b"\r\n0\r\n", b"\r\n"):
            sock.sendall(piece)
        received = b""
        while b"[DONE]" not in received:
            received += sock.recv(4096)
        assert received.startswith(b"HTTP/1.1 200")
