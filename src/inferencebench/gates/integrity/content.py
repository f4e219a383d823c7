"""Checks of what was said: under the reference model, against the reference's own mistakes, and when asked again."""

from collections.abc import Sequence
from statistics import median
from typing import Literal, NamedTuple

from inferencebench.gates.integrity.calibration import Threshold, calibration_of, seen_share
from inferencebench.gates.integrity.grading import absent
from inferencebench.gates.integrity.likelihood import CONFIDENCE_SE, HONEST_SE, Effect, Score, effect
from inferencebench.gates.integrity.model import CheckResult, Evidence, Verdict
from inferencebench.gates.integrity.physical import uncached_tokens
from inferencebench.gates.integrity.rooflines import roof, ttft_floor_s
from inferencebench.gates.quality import Answer
from inferencebench.load.model import RequestSample

GREEDY_FAIL_NATS, GREEDY_REVIEW_NATS = -0.45, -0.20
"""Below them texts are likelier than drawn ones: the temperature was ignored, or the distribution was cut."""
GREEDY_SHARE, GREEDY_EXCESS_SE = 0.98, 5.0
"""So many tokens are the most likely one, and so much more often than in the baseline's texts: nothing was drawn."""
MIN_TOKENS = 16
MIN_WRONG = 15
SAME_TEXT_CHARACTERS = 40
SURPRISE_FAIL, SURPRISE_REVIEW, UNSCORABLE = 14.0, 7.0, 20.0
"""Nats: one in a million, one in a thousand; and what a kept text of random weights counts for."""
AT_ONCE = 0.05
"""A kept text in less than this share of the usual time was stored: neither a prefix cache nor drafts that are all
accepted, eight a step, make an answer twenty times as fast."""
FASTER = 0.6
"""A repeat that takes less than this share of a first reading was not read."""


class Margins:
    """A1: the timed texts are what the base model would have said."""

    name = "margins"
    required = False

    def run(self, evidence: Evidence) -> CheckResult:
        """Judge the mean over all scored tokens."""
        return _likely(self.name, evidence, "whole", calibration_of(evidence.suite.model.id).margins)


class OpeningMargins:
    """A2: the same of the first tokens alone: a canned preamble that the model then continues."""

    name = "opening-margins"
    required = False

    def run(self, evidence: Evidence) -> CheckResult:
        """Judge the mean over the openings."""
        return _likely(self.name, evidence, "opening", calibration_of(evidence.suite.model.id).opening)


def _likely(name: str, evidence: Evidence, part: Literal["whole", "opening"], limit: Threshold) -> CheckResult:
    greedy = part == "whole"
    fails = _fails(limit, unit=" nats")
    threshold = f"deficit per token beyond the baseline's, by {CONFIDENCE_SE:g} standard errors: {fails}"
    threshold += f" (or {HONEST_SE:g} of an honest text's above {limit.review}), review above {limit.review}"
    if greedy:
        threshold += f"; fail below {GREEDY_FAIL_NATS}, review below {GREEDY_REVIEW_NATS}"
        threshold += (
            f"; fail where {GREEDY_SHARE:.0%} are the likeliest token, {GREEDY_EXCESS_SE:g} standard errors above"
        )
    if evidence.suite.model.source.kind == "random":
        return absent(name, threshold, "texts of random weights do not survive re-tokenization")
    if not evidence.likelihoods or not evidence.reference_likelihoods:
        return absent(name, threshold, "the texts were not scored under the reference model")
    ours: list[Score] = [getattr(row, part) for row in evidence.likelihoods]
    theirs: list[Score] = [getattr(row, part) for row in evidence.reference_likelihoods]
    found = effect(ours, theirs)
    if found is None or found.tokens < MIN_TOKENS:
        return absent(name, threshold, f"fewer than {MIN_TOKENS} tokens to score")
    verdict, reason = _verdict(found, limit, greedy=greedy)
    numbers = {"deficit_nats": found.nats, "standard_error_nats": found.se, "top1_share": found.top1_share}
    numbers["tokens"] = float(found.tokens)
    return CheckResult(
        name=name, verdict=verdict, numbers=numbers, sample_size=found.texts, threshold=threshold, reason=reason
    )


def _fails(limit: Threshold, shown: str = "", unit: str = "") -> str:
    """From where on a check fails."""
    return "never fail (see the calibration)" if limit.fail is None else f"fail above {limit.fail:{shown}}{unit}"


def _verdict(found: Effect, limit: Threshold, *, greedy: bool) -> tuple[Verdict, str]:
    shown = f"{found.nats:+.3f} ± {found.se:.3f} nats a token against the baseline's texts"
    surely = found.nats - CONFIDENCE_SE * found.se
    never_drawn = found.nats - HONEST_SE * found.honest_se > limit.review
    if limit.fail is not None and (surely > limit.fail or never_drawn):
        return Verdict.FAIL, f"not the base model's words: {shown}"
    if surely > limit.review:
        return Verdict.REVIEW, f"less likely than the base model's words: {shown}"
    if greedy and found.top1_share >= GREEDY_SHARE and found.top1_excess_se > GREEDY_EXCESS_SE:
        return Verdict.FAIL, f"{found.top1_share:.1%} of the tokens are the likeliest: the temperature was ignored"
    at_most = found.nats + CONFIDENCE_SE * found.se
    if greedy and at_most < GREEDY_REVIEW_NATS:
        verdict = Verdict.FAIL if at_most < GREEDY_FAIL_NATS else Verdict.REVIEW
        return verdict, f"likelier than words drawn at the temperature: {shown}"
    return Verdict.PASS, shown


class ProbeShift:
    """Probes and timed requests are answered by one model: neither is told apart from the other."""

    name = "probe-shift"
    required = False

    def run(self, evidence: Evidence) -> CheckResult:
        """Compare the texts of short and repeated requests with all others, under the reference model."""
        limit = calibration_of(evidence.suite.model.id).margins
        threshold = (
            f"difference of deficits between probes and other requests, nats a token, by {CONFIDENCE_SE:g} standard "
            f"errors: {_fails(limit)}, review above {limit.review}"
        )
        if not evidence.likelihoods:
            return absent(self.name, threshold, "the texts were not scored under the reference model")
        probes = {r.id for r in evidence.planned if r.probe} | {s.id for s in evidence.shorts}
        asked = [row.whole for row in evidence.likelihoods if row.id in probes]
        timed = [row.whole for row in evidence.likelihoods if row.id not in probes]
        found = effect(asked, timed)
        if found is None or min(found.tokens, sum(s.tokens for s in timed)) < MIN_TOKENS:
            return absent(self.name, threshold, f"fewer than {MIN_TOKENS} tokens of probes, or of other requests")
        surely = abs(found.nats) - CONFIDENCE_SE * found.se
        verdict = Verdict.REVIEW if surely > limit.review else Verdict.PASS
        if limit.fail is not None and surely > limit.fail:
            verdict = Verdict.FAIL
        return CheckResult(
            name=self.name,
            verdict=verdict,
            numbers={"shift_nats": found.nats, "standard_error_nats": found.se, "tokens": float(found.tokens)},
            sample_size=found.texts,
            threshold=threshold,
            reason=f"probes differ from other requests by {found.nats:+.3f} ± {found.se:.3f} nats a token",
        )


class SharedMistakes(NamedTuple):
    """Of the reference's wrong answers: how many there are to compare, are given again, and are right here."""

    total: int
    same: int
    righted: int


def shared_mistakes(answers: Sequence[Answer], reference: Sequence[Answer]) -> SharedMistakes:
    """Compare parsed answers question by question."""
    theirs = {a.question_id: a for a in reference if a.parsed is not None and not a.correct}
    pairs = [(a, theirs[a.question_id]) for a in answers if a.question_id in theirs and a.error is None]
    return SharedMistakes(len(pairs), sum(a.parsed == b.parsed for a, b in pairs), sum(a.correct for a, _ in pairs))


class WrongAnswers:
    """A3: on questions that the reference gets wrong, the same model gives the same wrong answer."""

    name = "wrong-answers"
    required = False

    def run(self, evidence: Evidence) -> CheckResult:
        """Judge the share that is answered otherwise, where that is sure. (McNemar's test is the quality gate's.)"""
        limit = calibration_of(evidence.suite.model.id).wrong
        threshold = (
            f"of the reference's wrong answers, at least {MIN_WRONG}, the share answered otherwise: review above "
            f"{limit.review:.0%}, by {CONFIDENCE_SE:g} standard errors {_fails(limit, '.0%')}"
        )
        if evidence.suite.model.source.kind == "random":
            return absent(self.name, threshold, "random weights answer nothing rightly, and any rounding changes how")
        found = shared_mistakes(evidence.answers, evidence.reference_answers)
        if found.total < MIN_WRONG:
            return absent(self.name, threshold, f"{found.total} wrong answers of the reference to compare")
        _, _, share, se, _ = seen_share("", "honest", found.same, found.total)
        verdict = Verdict.REVIEW if 1 - found.same / found.total > limit.review else Verdict.PASS
        if limit.fail is not None and share - CONFIDENCE_SE * se > limit.fail:
            verdict = Verdict.FAIL
        return CheckResult(
            name=self.name,
            verdict=verdict,
            numbers={"same_wrong_share": found.same / found.total, "righted": float(found.righted)},
            sample_size=found.total,
            threshold=threshold,
            reason=f"{found.same} of {found.total} wrong answers are the reference's own; {found.righted} are right "
            f"here",
        )


class RepeatUnique:
    """A document asked about again takes as long as the first time, and at a temperature gets other words."""

    name = "repeat-unique"
    required = False
    threshold = (
        f"a repeat's first token after at least {FASTER:.0%} of the median time of new prompts (where that is the same "
        f"work; review), and, above temperature 0, a text of its own: fail where the source's text had a chance of "
        f"e^-{SURPRISE_FAIL:g}, came before the prompt could be read, or took under {AT_ONCE:.0%} of the usual time, "
        f"review at e^-{SURPRISE_REVIEW:g}"
    )

    def run(self, evidence: Evidence) -> CheckResult:
        """Compare each repeat with its source, and its time with those of new prompts.

        At a low temperature an honest server may well say the same again: what that is worth is the text's own
        probability under the reference model. Where nobody scored it, a kept text asks for a review; texts of random
        weights, which nobody can score, never come twice."""
        kinds = {r.id: r for r in evidence.planned}
        by_launch = [{s.id: s for s in launch if s.ok} for launch in evidence.launches]
        pairs = [
            (samples[r.of], samples[r.id])
            for samples in by_launch
            for r in kinds.values()
            if r.probe == "repeat" and r.id in samples and r.of in samples
        ]
        if not pairs:
            return absent(self.name, self.threshold, "no repeat was answered together with its source")
        fresh = [t for s in evidence.succeeded if not kinds[s.id].probe and (t := _ttft(s)) is not None]
        ratios = [t / median(fresh) for _, again in pairs if (t := _ttft(again)) is not None]
        ratio = median(ratios) if ratios else 1.0
        warm = evidence.scenario.temperature > 0
        kept = [again for first, again in pairs if warm and _same(first.text, again.text)]
        surprise = _surprise(evidence, kept)
        usual = median(t for s in evidence.succeeded if not kinds[s.id].probe and (t := _latency(s)) is not None)
        early = sum(_stored(evidence, again, usual) for again in kept)
        quick = bool(ratios) and ratio < FASTER and evidence.scenario.profiles[0].concurrency == 1
        verdict = Verdict.REVIEW if quick or surprise > SURPRISE_REVIEW else Verdict.PASS
        if early or surprise > SURPRISE_FAIL:
            verdict = Verdict.FAIL
        reason = f"{len(kept)} of {len(pairs)} repeats got their source's text"
        if kept:
            reason += f" (chance e^-{surprise:.1f}, {early} of them faster than they could be made)"
        return CheckResult(
            name=self.name,
            verdict=verdict,
            numbers={"kept_texts": float(len(kept)), "surprise_nats": surprise, "ttft_ratio": ratio},
            sample_size=len(pairs),
            threshold=self.threshold,
            reason=f"{reason}; first token after {ratio:.2f} of the usual time",
        )


def _surprise(evidence: Evidence, kept: Sequence[RequestSample]) -> float:
    """-log of the chance that honest draws give these texts; of texts that nobody scored, just a review's worth."""
    if evidence.suite.model.source.kind == "random":
        return UNSCORABLE * len(kept)
    scored = {row.id: row.logp_nats for row in evidence.likelihoods or ()}
    known = [-logp for sample in kept if (logp := scored.get(sample.id)) is not None]
    unknown = len(kept) - len(known)
    return sum(known) + (SURPRISE_REVIEW + 0.1 if unknown and not known else 0.0)


def _stored(evidence: Evidence, sample: RequestSample, usual_s: float) -> bool:
    """Whether an answer came before the hard floor of reading its prompt, or whole in next to no time."""
    first, whole = _ttft(sample), _latency(sample)
    floor = ttft_floor_s(
        evidence.suite.model, roof(evidence.suite.hardware, evidence.peaks), uncached_tokens(evidence, sample)
    )
    return (first is not None and first < floor.hard) or (whole is not None and whole < AT_ONCE * usual_s)


def _latency(sample: RequestSample) -> float | None:
    return None if sample.end_s is None or sample.sent_s is None else sample.end_s - sample.sent_s


def _ttft(sample: RequestSample) -> float | None:
    return None if sample.first_s is None or sample.sent_s is None else sample.first_s - sample.sent_s


def _same(first: str, again: str) -> bool:
    """Whether two texts are one, as far as the shorter goes."""
    a, b = " ".join(first.split()), " ".join(again.split())
    length = min(len(a), len(b))
    return length >= SAME_TEXT_CHARACTERS and a[:length] == b[:length]
