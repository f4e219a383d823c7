"""Measuring a ready server: the warm-up, the timed profiles, and the quality questions, all by the load client."""

from collections.abc import Sequence
from pathlib import Path

from inferencebench.gates.quality import Answer, grade
from inferencebench.load import client, metrics, parse, store
from inferencebench.load.model import LoadPlan, Measurement, Recording, RequestSample, Samples, Target
from inferencebench.load.wire import planned
from inferencebench.run.bench import Bench
from inferencebench.serve.server import Server, ServerFailed
from inferencebench.suites.model import Profile, Scenario
from inferencebench.workload.model import Question, SpeedRequest
from inferencebench.workload.requests import WARMUP

QUALITY = "quality"
WARMUP_S = 30.0
PROBES = "probes"
"""Folder, beside the samples of a launch, of the probes' own."""
EMPTY_REPLY = "no content"
"""How the load client names a whole reply without text."""


def measure_speed(
    server: Server,
    bench: Bench,
    scenario: Scenario,
    requests: Sequence[SpeedRequest],
    folder: Path,
    duration_s: float | None = None,
    patience_s: float | None = None,
) -> Measurement:
    """Send the warm-up and the timed requests of `scenario`; keep every sample in `folder` as Parquet.

    Profiles run one after the other; profiles without requests (a shortened set) are left out. Short probes and
    canaries are kept apart and enter no metric. `duration_s` is shared between the profiles: no request starts later,
    at the scenario's own concurrency. The warm-up and each profile end after `patience_s`, whatever the server does.

    Raises ServerFailed when nothing of the warm-up is answered in that time."""
    recordings = []
    warmup = [r for r in requests if r.profile == WARMUP]
    if warmup:
        cap = min(len(warmup), scenario.profiles[0].concurrency)
        profile = Profile(name=WARMUP, arrival="burst", requests=len(warmup), concurrency=cap)
        recording = _run(server, bench, profile, warmup, patience_s=warmup_patience_s(patience_s, duration_s))
        if patience_s is not None and not _answered(recording):
            raise ServerFailed("it is ready but answers no request of the warm-up", "", None)
    for profile in scenario.profiles:
        mine = [r for r in requests if r.profile == profile.name]
        if mine:
            share = None if duration_s is None else duration_s / len(scenario.profiles)
            recordings.append(_run(server, bench, profile, mine, duration_s=share, patience_s=patience_s))
    everything = parse.merge([parse.samples(recording, bench.tokenizer.count) for recording in recordings])
    samples, probes = _apart(everything, {r.id for r in requests if not r.counted})
    store.write_samples(folder, samples)
    store.write_samples(folder / PROBES, probes)
    return metrics.measurement(metrics.by_profile(samples), bench.suite.min_success_rate, forced_length=True)


def _answered(recording: Recording) -> bool:
    return any(r.ok or r.error == EMPTY_REPLY for r in parse.samples(recording, None).requests)


def warmup_patience_s(patience_s: float | None, cap_s: float | None) -> float | None:
    """A warm-up is short, but its requests may compile something: a load's cap or WARMUP_S, at most `patience_s`."""
    return None if patience_s is None else min(patience_s, max(WARMUP_S, cap_s or 0.0))


def _apart(samples: Samples, probes: set[str]) -> tuple[Samples, Samples]:
    """Samples of the timed requests, and those of the probes."""
    timed, others = Samples([], []), Samples([], [])
    for request in samples.requests:
        (others if request.id in probes else timed).requests.append(request)
    for chunk in samples.chunks:
        (others if chunk.request in probes else timed).chunks.append(chunk)
    return timed, others


def ask(
    server: Server,
    bench: Bench,
    questions: Sequence[Question],
    patience_s: float | None = None,
    cap_s: float | None = None,
) -> list[Answer]:
    """Ask the quality questions, greedy, and grade the answers; those without one after `patience_s` have failed, and
    those not asked before `cap_s` are left out."""
    quality = bench.suite.quality
    profile = Profile(name=QUALITY, arrival="burst", requests=len(questions), concurrency=quality.concurrency)
    requests = [
        SpeedRequest(
            id=q.id,
            profile=QUALITY,
            messages=q.messages,
            prompt_tokens=0,
            max_tokens=quality.max_tokens,
            temperature=0.0,
            seed=0,
            offset_s=0.0,
        )
        for q in questions
    ]
    recording = _run(server, bench, profile, requests, force_length=False, duration_s=cap_s, patience_s=patience_s)
    samples = parse.samples(recording, bench.tokenizer.count).requests
    asked = {sample.id for sample in samples}
    return graded([q for q in questions if cap_s is None or q.id in asked], samples)


def graded(questions: Sequence[Question], samples: Sequence[RequestSample]) -> list[Answer]:
    """Answers from samples. A reply without text is an answer (a wrong one), not a failure of the server."""
    texts = {s.id: s.text for s in samples if s.ok or s.error == EMPTY_REPLY}
    return grade(questions, texts, {s.id: s.error or "failed" for s in samples if s.id not in texts})


def _run(
    server: Server,
    bench: Bench,
    profile: Profile,
    requests: Sequence[SpeedRequest],
    *,
    force_length: bool = True,
    duration_s: float | None = None,
    patience_s: float | None = None,
) -> Recording:
    target = Target(connect=server.connect, host="server")
    plan = LoadPlan(
        profile,
        tuple(planned(request, bench.suite.model.id, force_length=force_length) for request in requests),
        request_timeout_s=bench.suite.limits.request_s,
        total_timeout_s=patience_s,
        duration_s=duration_s,
        cpu=bench.cores.client[0],
    )
    return client.run(target, plan, lambda progress: bench.reporter.load(profile.name, progress))


def answered_enough(measurement: Measurement, min_success_rate: float) -> bool:
    """Whether every profile reached the success rate."""
    return all(0 < p.succeeded >= min_success_rate * p.requests for p in measurement.profiles)
