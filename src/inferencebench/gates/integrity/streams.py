"""Checks of how tokens came: a first token that was none, and tokens held back to come in a burst."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from inferencebench.gates.integrity.grading import RULE, absent, grade
from inferencebench.gates.integrity.model import CheckResult, Evidence, Verdict
from inferencebench.gates.integrity.physical import emitted_tokens, uncached_tokens
from inferencebench.gates.integrity.rooflines import roof, ttft_floor_s
from inferencebench.load.model import ChunkSample, RequestSample
from inferencebench.suites.model import Metric

GAP_RATIO = 8.0
EARLY_GAPS = 16
"""A preamble may be dripped: the longest of the first gaps counts."""
MIN_GAPS = 8
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e"
HEAD_CHARACTERS = 200
HELD_RATIO = 1.5
HELD_RATIO_BUSY = 3.0
"""With several in flight, a first token also waits for other prompts."""
HELD_SHARE = 0.5
MIN_PAIR_TOKENS = 8
SLOPE_SPREAD = 2.0
"""Prompts must differ by this factor for a slope to mean anything."""
MIN_SLOPE = 8


class FirstGap:
    """The first token comes when the prompt was read: afterwards no gap is as long as reading it."""

    name = "first-gap"
    required = False
    threshold = (
        f"median over requests of (longest of the first {EARLY_GAPS} gaps / median gap): fail above {GAP_RATIO:g} "
        f"where that gap is long enough to hide reading the prompt, review otherwise"
    )

    def run(self, evidence: Evidence) -> CheckResult:
        """Look at the gaps between chunks of each request, coalesced ones joined."""
        if evidence.scenario.profiles[0].concurrency > 1:
            return absent(self.name, self.threshold, "another request's prompt may cause a gap here")
        rows = []
        floors = roof(evidence.suite.hardware, evidence.peaks)
        for sample, chunks in _streams(evidence):
            gaps = [b.t_s - a.t_s for a, b in pairwise(c for c in chunks if not c.coalesced)]
            if len(gaps) < MIN_GAPS:
                continue
            usual, early = median(gaps), max(gaps[:EARLY_GAPS])
            floor = ttft_floor_s(evidence.suite.model, floors, uncached_tokens(evidence, sample))
            rows.append((early / max(usual, 1e-9), early >= max(floor.hard, _ttft(sample))))
        if not rows:
            return absent(self.name, self.threshold, f"no answer with {MIN_GAPS} gaps between its chunks")
        ratio = median(row[0] for row in rows)
        hides = sum(row[1] for row in rows) > len(rows) / 2
        verdict = Verdict.PASS if ratio <= GAP_RATIO else Verdict.FAIL if hides else Verdict.REVIEW
        return CheckResult(
            name=self.name,
            verdict=verdict,
            numbers={"median_gap_ratio": ratio, "gaps_longer_than_ttft": float(sum(row[1] for row in rows))},
            sample_size=len(rows),
            threshold=self.threshold,
            reason=f"the longest early gap is {ratio:.1f} times the usual one in the median request",
        )


class FirstToken:
    """What counts as the first token must be one: visible, and a part of the text."""

    name = "first-token"
    required = False
    threshold = f"no invisible characters, and a first chunk with a visible one before the TTFT doubles; {RULE}"

    def run(self, evidence: Evidence) -> CheckResult:
        """Find texts with zero-width characters, and streams whose first visible character came much later."""
        streams = _streams(evidence)
        if not streams:
            return absent(self.name, self.threshold, "no successful request")
        hidden = [any(mark in sample.text[:HEAD_CHARACTERS] for mark in INVISIBLE) for sample, _ in streams]
        late = [_shown_late(sample, chunks) for sample, chunks in streams]
        bad = sum(a or b for a, b in zip(hidden, late, strict=True))
        return CheckResult(
            name=self.name,
            verdict=grade(bad, len(streams)),
            numbers={"invisible": float(sum(hidden)), "late": float(sum(late))},
            sample_size=len(streams),
            threshold=self.threshold,
            reason=f"{sum(hidden)} texts begin with invisible characters, {sum(late)} show their first one late",
        )


def _shown_late(sample: RequestSample, chunks: Sequence[ChunkSample]) -> bool:
    """Whether the first visible character came after twice the time of what counted as the first token."""
    first = chunks[0].t_s
    seen = next((c.t_s for c in chunks if c.text.strip(INVISIBLE + " \t\r\n")), first)
    return seen - first > _ttft(sample)


class HoldThenFlush:
    """A token takes what longer answers take longer than shorter ones, however their stream is cut."""

    name = "hold-then-flush"
    required = False
    threshold = (
        f"seconds per output token, from end to end of long and short answers, at most {HELD_RATIO:g} times the TPOT "
        f"of the stream ({HELD_RATIO_BUSY:g} times with several in flight); fail where the first token waits for half "
        f"of that time or more, review otherwise"
    )

    def run(self, evidence: Evidence) -> CheckResult:
        """Compare the medians of timed requests with those of the short probes, where TPOT is scored."""
        if evidence.scenario.metric not in (Metric.TPOT, Metric.BALANCED):
            return absent(self.name, self.threshold, "the scenario does not score TPOT")
        longs = [
            s for s in evidence.succeeded if s.end_s is not None and s.first_s is not None and s.sent_s is not None
        ]
        shorts = [s for s in evidence.shorts if s.ok and s.end_s is not None and s.first_s is not None]
        if len(shorts) < 2 or not longs:
            return absent(self.name, self.threshold, "no short probes were answered")
        tokens = median(map(emitted_tokens, longs)) - median(map(emitted_tokens, shorts))
        if tokens < MIN_PAIR_TOKENS:
            return absent(self.name, self.threshold, "long and short answers are of one length")
        slope = (median(map(_latency, longs)) - median(map(_latency, shorts))) / tokens
        stream = median(_tpot(s) for s in longs)
        waits = (median(map(_ttft, longs)) - median(map(_ttft, shorts))) / max(slope * tokens, 1e-9)
        busy = evidence.scenario.profiles[0].concurrency > 1
        held = slope > (HELD_RATIO_BUSY if busy else HELD_RATIO) * stream
        verdict = Verdict.PASS if not held else Verdict.FAIL if waits > HELD_SHARE else Verdict.REVIEW
        return CheckResult(
            name=self.name,
            verdict=verdict,
            numbers={"end_to_end_s_per_token": slope, "tpot_s": stream, "waiting_share": waits},
            sample_size=len(longs) + len(shorts),
            threshold=self.threshold,
            reason=f"{slope * 1e3:.3g} ms a token from end to end, {stream * 1e3:.3g} ms in the stream; the first "
            f"token waits for {waits:.0%} of what long answers take longer",
        )


class TtftSlope:
    """Longer prompts take longer by at least what their tokens cost."""

    name = "ttft-slope"
    required = False
    threshold = (
        "Theil-Sen slope of TTFT over uncached prompt tokens: fail if its 97.5 % bound is under the hard floor per "
        "token, review under the review floor"
    )

    def run(self, evidence: Evidence) -> CheckResult:
        """All requests of launches with one request at a time; needs prompts of different lengths."""
        points = [
            (uncached_tokens(evidence, s), _ttft(s))
            for s in evidence.succeeded
            if s.first_s is not None and s.sent_s is not None
        ]
        lengths = [n for n, _ in points]
        alone = evidence.scenario.profiles[0].concurrency == 1
        if len(points) < MIN_SLOPE or not alone or max(lengths) < SLOPE_SPREAD * max(min(lengths), 1):
            return absent(
                self.name, self.threshold, f"needs {MIN_SLOPE} prompts, one at a time, of lengths that differ twofold"
            )
        slopes = sorted((b[1] - a[1]) / (b[0] - a[0]) for i, a in enumerate(points) for b in points[:i] if a[0] != b[0])
        upper = slopes[min(len(slopes) - 1, round(0.975 * len(slopes)))]
        floor = ttft_floor_s(evidence.suite.model, roof(evidence.suite.hardware, evidence.peaks), 1.0)
        verdict = Verdict.FAIL if upper < floor.hard else Verdict.REVIEW if upper < floor.review else Verdict.PASS
        return CheckResult(
            name=self.name,
            verdict=verdict,
            numbers={"slope_s_per_token": median(slopes), "upper_s_per_token": upper, "hard_s_per_token": floor.hard},
            sample_size=len(points),
            threshold=self.threshold,
            reason=f"{median(slopes) * 1e6:.3g} µs a prompt token; the hard floor is {floor.hard * 1e6:.3g} µs",
        )


def _streams(evidence: Evidence) -> list[tuple[RequestSample, list[ChunkSample]]]:
    """Each successful answer with its chunks. Ids repeat over launches: a chunk number that falls begins the next."""
    found: dict[str, list[list[ChunkSample]]] = defaultdict(list)
    for chunk in evidence.chunks:
        answers = found[chunk.request]
        if not answers or chunk.chunk <= answers[-1][-1].chunk:
            answers.append([])
        answers[-1].append(chunk)
    following = {id: iter(answers) for id, answers in found.items()}
    streamed = [sample for sample in evidence.requests if sample.chunks and sample.id in following]
    pairs = [(sample, next(following[sample.id], [])) for sample in streamed]
    return [(sample, chunks) for sample, chunks in pairs if sample.ok and chunks]


def _ttft(sample: RequestSample) -> float:
    return (sample.first_s or 0.0) - (sample.sent_s or 0.0)


def _latency(sample: RequestSample) -> float:
    return (sample.end_s or 0.0) - (sample.sent_s or 0.0)


def _tpot(sample: RequestSample) -> float:
    later = emitted_tokens(sample) - (sample.first_chunk_tokens or 1)
    return ((sample.end_s or 0.0) - (sample.first_s or 0.0)) / later if later > 0 else 0.0
