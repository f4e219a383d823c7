"""Token counts: what the server says, what its text holds, and what was asked for must agree."""

import re
from collections.abc import Sequence

from inferencebench.gates.integrity.grading import RULE, absent, grade
from inferencebench.gates.integrity.model import AuditBand, CheckResult, Evidence, Verdict
from inferencebench.load.model import RequestSample

RUN = re.compile(r"(.)\1{3,}", re.S)
TURN = re.compile(r"(?:system|user|assistant)\n")
TURN_TOKENS = 3
"""An engine that is told to go on past the end token may open new turns: their marks leave no text (ChatML's two, and
the line breaks around them, which re-tokenization joins; Llama 3's three). The reference never says its end token."""
MARGIN = 1.5
"""How much wider than the reference's own deviations the calibrated band is."""
MAX_RELATIVE = 0.25
"""The widest band a reference may ask for; beyond it a count means nothing."""


def calibrate_band(reference: Sequence[RequestSample]) -> AuditBand:
    """The band for a model, from the reference server's own requests.

    Re-tokenizing a text does not give back its tokens: merges differ, and special tokens leave no text. The reference
    shows how large that is for this model; its largest relative deviation times `MARGIN` is allowed."""
    band = AuditBand()
    deviations = [
        abs(s.output_tokens - s.usage_completion_tokens) / s.usage_completion_tokens
        for s in reference
        if s.ok and s.output_tokens is not None and s.usage_completion_tokens
    ]
    relative = max([band.relative, *(MARGIN * d for d in deviations)])
    return band.model_copy(update={"relative": min(MAX_RELATIVE, relative)})


def _rule(band: AuditBand) -> str:
    return f"within max({band.absolute_tokens} tokens, {band.relative:.1%}); {RULE}"


class TokenAudit:
    """The server's completion_tokens against its re-tokenized text."""

    name = "token-audit"
    required = True

    def run(self, evidence: Evidence) -> CheckResult:
        """Grade every answer whose usage was reported; without usage, text is held against the forced length.

        Text of random weights does not survive re-tokenization: there only the usage is held against the length."""
        band = evidence.token_band
        random_weights = evidence.suite.model.source.kind == "random"
        pairs = []
        for s in evidence.succeeded:
            counted = s.usage_completion_tokens if random_weights else s.output_tokens
            claimed = s.max_tokens if random_weights or s.usage_completion_tokens is None else s.usage_completion_tokens
            if counted is not None:
                pairs.append((s.id, counted, claimed))
        if not pairs:
            return absent(self.name, _rule(band), "no answer with a token count")
        unseen = {s.id: unseen_tokens(s.text, s.max_tokens) for s in evidence.succeeded}
        bad = [p for p in pairs if not band.allows(p[1], p[2]) and not p[1] < p[2] <= p[1] + unseen[p[0]]]
        worst = max(pairs, key=lambda p: abs(p[1] - p[2]))
        total, claimed_total = sum(p[1] for p in pairs), sum(p[2] for p in pairs)
        what = "reported, not re-tokenizable" if random_weights else "re-tokenized"
        return CheckResult(
            name=self.name,
            verdict=grade(len(bad), len(pairs)),
            numbers={
                "outside_band": float(len(bad)),
                "counted_tokens": float(total),
                "claimed_tokens": float(claimed_total),
                "worst_difference_tokens": float(worst[2] - worst[1]),
            },
            sample_size=len(pairs),
            threshold=_rule(band),
            reason=(
                f"{len(bad)} of {len(pairs)} answers outside the band; most off is {worst[0]}: {worst[1]} tokens "
                f"({what}), {worst[2]} claimed"
            ),
        )


def unseen_tokens(text: str, tokens: int) -> float:
    """How many tokens of an answer of `tokens` its text may hide: runs of a character, and the marks of new turns.

    Marks count for no more than `MAX_RELATIVE`: a text of role names only would else claim twice its tokens."""
    return run_characters(text) + min(TURN_TOKENS * len(TURN.findall(text)), MAX_RELATIVE * tokens)


def run_characters(text: str) -> int:
    """Characters in runs of one character: a model may have said them one by one, and re-tokenization joins them."""
    return sum(len(match[0]) for match in RUN.finditer(text))


class ForcedLength:
    """Every answer must have the length that was asked for: a shorter one is less work."""

    name = "forced-length"
    required = True

    def run(self, evidence: Evidence) -> CheckResult:
        """Grade reported tokens against `max_tokens`, and `finish_reason`, which is `length` for a forced one.

        An absent `finish_reason`, or one that contradicts a right count, only asks for review; so do short answers of
        an engine that is known to have no way to force them, which is no cheat. Neither is ranked."""
        band = evidence.token_band
        samples = evidence.succeeded
        if not samples:
            return absent(self.name, _rule(band), "no successful request")
        wrong, odd = [], []
        for s in samples:
            count = s.usage_completion_tokens if s.usage_completion_tokens is not None else s.output_tokens
            if count is None or not band.allows(count, s.max_tokens):
                wrong.append((s, count))
            elif s.finish_reason != "length":
                odd.append(s)
        reason = f"all {len(samples)} answers have their forced length"
        if wrong:
            s, count = wrong[0]
            reason = (
                f"{len(wrong)} of {len(samples)} answers not of the forced length; {s.id}: {count} of {s.max_tokens} "
                f"tokens, finish_reason {s.finish_reason}"
            )
        elif odd:
            reason = f"{len(odd)} of {len(samples)} answers end with finish_reason {odd[0].finish_reason}, not length"
        found = grade(len(wrong), len(samples), len(odd))
        if wrong and not evidence.forces_length:
            found = Verdict.REVIEW
            reason += f"; {evidence.engine} cannot be told to go on past the end of a text"
        return CheckResult(
            name=self.name,
            verdict=found,
            numbers={"wrong_length": float(len(wrong)), "odd_finish_reason": float(len(odd))},
            sample_size=len(samples),
            threshold=f"tokens of each answer {_rule(band)}",
            reason=reason,
        )


class PromptAudit:
    """The server's prompt_tokens against the prompt that was sent: a truncated prompt is less work."""

    name = "prompt-audit"
    required = False

    def run(self, evidence: Evidence) -> CheckResult:
        """Grade the reported count where there is one. More tokens than sent cost the server itself: review."""
        band = AuditBand()
        samples = [s for s in evidence.succeeded if s.usage_prompt_tokens is not None]
        if not samples:
            return absent(self.name, _rule(band), "the server reports no prompt_tokens")
        off = [s for s in samples if not band.allows(s.usage_prompt_tokens or 0, s.prompt_tokens)]
        short = [s for s in off if (s.usage_prompt_tokens or 0) < s.prompt_tokens]
        worst = max(samples, key=lambda s: abs(s.prompt_tokens - (s.usage_prompt_tokens or 0)))
        verdict = grade(len(short), len(samples), len(off))
        off_by = f"{worst.id}: {worst.usage_prompt_tokens} of {worst.prompt_tokens} tokens"
        return CheckResult(
            name=self.name,
            verdict=verdict,
            numbers={"short": float(len(short)), "long": float(len(off) - len(short))},
            sample_size=len(samples),
            threshold=_rule(band),
            reason="every prompt was read whole" if verdict is Verdict.PASS else f"{len(off)} prompts differ; {off_by}",
        )
