"""Physical floors: no server is faster than the arithmetic and the memory traffic that its model needs."""

from collections.abc import Sequence
from typing import NamedTuple

from inferencebench.gates.integrity.grading import RULE, absent, grade
from inferencebench.gates.integrity.model import CheckResult, Evidence, Verdict
from inferencebench.gates.integrity.rooflines import (
    Bound,
    Roof,
    request_rate_ceiling_per_s,
    roof,
    tpot_floor_s,
    ttft_floor_s,
)
from inferencebench.load.model import RequestSample

NO_SAMPLES = "no successful request was recorded with its times"


class Timed(NamedTuple):
    """One request's quantity beside its own floor."""

    id: str
    seconds: float
    floor: Bound


def uncached_tokens(evidence: Evidence, sample: RequestSample) -> int:
    """Prompt tokens that no prefix cache can know: those from the nonce on."""
    return max(0, sample.prompt_tokens - evidence.shared_prefix_tokens)


def emitted_tokens(sample: RequestSample) -> int:
    """The count that the metrics use, else the re-tokenized one, else what the server says."""
    counts = (sample.counted_tokens, sample.output_tokens, sample.usage_completion_tokens)
    return next((count for count in counts if count is not None), 0)


def _judge(name: str, quantity: str, timed: Sequence[Timed], unclear: int = 0) -> CheckResult:
    """Grade every request against its own floor. `unclear`: requests whose quantity cannot be told."""
    threshold = f"{quantity} of each request at least its hard floor, review under its review floor; {RULE}"
    if not timed and not unclear:
        return absent(name, threshold, NO_SAMPLES)
    hard = [t for t in timed if t.seconds < t.floor.hard]
    soft = [t for t in timed if t.floor.hard <= t.seconds < t.floor.review]
    numbers = {"below_hard": float(len(hard)), "below_review": float(len(soft)), "unclear": float(unclear)}
    reason = f"{quantity} of every request is physically possible"
    if timed:
        worst = min(timed, key=lambda t: t.seconds / max(t.floor.hard, 1e-12))
        numbers |= {
            f"worst_{quantity}_s": worst.seconds,
            "worst_hard_floor_s": worst.floor.hard,
            "worst_review_floor_s": worst.floor.review,
        }
        if hard or soft:
            reason = (
                f"{len(hard)} of {len(timed)} under the hard floor, {len(soft)} under the review floor; {worst.id}: "
                f"{worst.seconds * 1e3:.4g} ms, hard {worst.floor.hard * 1e3:.4g} ms, review "
                f"{worst.floor.review * 1e3:.4g} ms"
            )
    if unclear and not hard:
        reason = f"{unclear} requests came in one chunk, so their {quantity} cannot be told"
    verdict = grade(len(hard), len(timed) + unclear, len(soft) + unclear)
    total = len(timed) + unclear
    return CheckResult(
        name=name, verdict=verdict, numbers=numbers, sample_size=total, threshold=threshold, reason=reason
    )


class TtftFloor:
    """The first token cannot come before the prompt was read."""

    name = "ttft-floor"
    required = True

    def run(self, evidence: Evidence) -> CheckResult:
        """Grade first token minus send against the prefill floor of the uncached part of each prompt."""
        model, limit = evidence.suite.model, _roof(evidence)
        timed = [
            Timed(s.id, s.first_s - s.sent_s, ttft_floor_s(model, limit, uncached_tokens(evidence, s)))
            for s in evidence.succeeded
            if s.first_s is not None and s.sent_s is not None
        ]
        return _judge(self.name, "ttft", timed)


class TpotFloor:
    """Output tokens cannot come faster than the model can verify them, however they were drafted."""

    name = "tpot-floor"
    required = True

    def run(self, evidence: Evidence) -> CheckResult:
        """Grade the time per token after the first chunk's. A request in one chunk has none and asks for review."""
        floor = tpot_floor_s(evidence.suite.model, _roof(evidence))
        timed, unclear = [], 0
        for s in evidence.succeeded:
            if s.first_s is None or s.end_s is None or emitted_tokens(s) < 2:
                continue
            later = emitted_tokens(s) - (s.first_chunk_tokens or 1)
            if later <= 0:
                unclear += 1
            else:
                timed.append(Timed(s.id, (s.end_s - s.first_s) / later, floor))
        return _judge(self.name, "tpot", timed, unclear)


class LatencyFloor:
    """A whole answer takes at least its prompt plus its tokens, however the stream is cut into chunks."""

    name = "latency-floor"
    required = True

    def run(self, evidence: Evidence) -> CheckResult:
        """Grade end minus send against the sum of both floors."""
        model, limit = evidence.suite.model, _roof(evidence)
        per_token = tpot_floor_s(model, limit)
        timed = []
        for s in evidence.succeeded:
            if s.end_s is None or s.sent_s is None:
                continue
            prompt, output = ttft_floor_s(model, limit, uncached_tokens(evidence, s)), emitted_tokens(s) - 1
            floor = Bound(*(p + max(0, output) * t for p, t in zip(prompt, per_token, strict=True)))
            timed.append(Timed(s.id, s.end_s - s.sent_s, floor))
        return _judge(self.name, "latency", timed)


class RequestRateCeiling:
    """No batching makes up for the arithmetic of a request."""

    name = "request-rate-ceiling"
    required = True
    threshold = "requests per second of each profile at most the hard ceiling; review above the review ceiling"

    def run(self, evidence: Evidence) -> CheckResult:
        """Grade each profile's completed requests over first send to last end at its mean lengths."""
        names = [p.name for p in evidence.scenario.profiles]
        found = [_rate(evidence, launch, name) for launch in evidence.launches for name in names]
        rates = [rate for rate in found if rate is not None]
        if not rates:
            return absent(self.name, self.threshold, NO_SAMPLES)
        worst = max(rates, key=lambda r: r.per_s / r.ceiling.hard)
        above_review = worst.per_s > worst.ceiling.review
        verdict = Verdict.FAIL if worst.per_s > worst.ceiling.hard else Verdict.REVIEW if above_review else Verdict.PASS
        return CheckResult(
            name=self.name,
            verdict=verdict,
            numbers={
                "requests_per_s": worst.per_s,
                "hard_ceiling_per_s": worst.ceiling.hard,
                "review_ceiling_per_s": worst.ceiling.review,
            },
            sample_size=sum(r.requests for r in rates),
            threshold=self.threshold,
            reason=(
                f"profile {worst.profile}: {worst.per_s:.4g} requests/s; ceilings {worst.ceiling.review:.4g} (review) "
                f"and {worst.ceiling.hard:.4g} (hard)"
            ),
        )


class _Rate(NamedTuple):
    profile: str
    requests: int
    per_s: float
    ceiling: Bound


def _rate(evidence: Evidence, launch: Sequence[RequestSample], profile: str) -> _Rate | None:
    """The request rate of one profile of one launch; None without a successful request."""
    samples = [s for s in launch if s.ok and s.profile == profile]
    sent = [s.sent_s for s in samples if s.sent_s is not None]
    ends = [s.end_s for s in samples if s.end_s is not None]
    if not sent or not ends:
        return None
    prompt = sum(uncached_tokens(evidence, s) for s in samples) / len(samples)
    output = sum(emitted_tokens(s) for s in samples) / len(samples)
    ceiling = request_rate_ceiling_per_s(evidence.suite.model, _roof(evidence), prompt, max(1.0, output))
    # A microsecond keeps a recording of one instant finite.
    return _Rate(profile, len(samples), len(samples) / max(max(ends) - min(sent), 1e-6), ceiling)


def _roof(evidence: Evidence) -> Roof:
    return roof(evidence.suite.hardware, evidence.peaks)
