"""Whether prompts are read to the end, and anew: codes that documents hold have to be repeated."""

import math

from inferencebench.gates.integrity.grading import absent
from inferencebench.gates.integrity.model import CheckResult, Evidence, Verdict

REVIEW_P = 1e-3
FAIL_P = REVIEW_P / 200
"""Corrected for a campaign of 200 runs: less than one honest run in five campaigns of a thousand fails by chance."""
MIN_CANARIES = 4
MIN_RATE = 0.5
"""Below it the base model itself is no measure."""


class Canary:
    """Codes at random depths are repeated as often as the reference does; exact binomial test."""

    name = "canary"
    required = False
    threshold = (
        f"as many codes repeated as at the baseline's rate, by an exact binomial test: fail at p < {FAIL_P:g}, review "
        f"at p < {REVIEW_P:g}"
    )

    def run(self, evidence: Evidence) -> CheckResult:
        """Count both sides. The baseline's rate gets half a hit and half a miss (Jeffreys), so it is never 0 or 1."""
        ours, theirs = evidence.canaries, evidence.reference_canaries
        if min(len(ours), len(theirs)) < MIN_CANARIES:
            reason = "no canaries were sent: the suite's model is too small to repeat codes, or its weights are random"
            return absent(self.name, self.threshold, reason if not ours else "too few canaries were answered")
        rate = (sum(c.code for c in theirs) + 0.5) / (len(theirs) + 1)
        if rate < MIN_RATE:
            return absent(self.name, self.threshold, f"the base model itself repeats only {rate:.0%} of the codes")
        hits = sum(c.code for c in ours)
        p = at_most(hits, len(ours), rate)
        return CheckResult(
            name=self.name,
            verdict=Verdict.FAIL if p < FAIL_P else Verdict.REVIEW if p < REVIEW_P else Verdict.PASS,
            numbers={"repeated": float(hits), "reference_rate": rate, "p": p},
            sample_size=len(ours),
            threshold=self.threshold,
            reason=f"{hits} of {len(ours)} codes repeated, the baseline {rate:.0%}; p = {p:.2g}",
        )


class FactEdit:
    """A document with one fact changed gets the new fact in its answer, not the one it had before."""

    name = "fact-edit"
    required = False
    threshold = "no answer has the code that its document had only in another prompt (fail)"

    def run(self, evidence: Evidence) -> CheckResult:
        """Find answers with the old code, which nothing but a memory of answers can give."""
        if not evidence.canaries:
            return absent(self.name, self.threshold, "no canaries were sent")
        stale = [c.id for c in evidence.canaries if c.stale]
        return CheckResult(
            name=self.name,
            verdict=Verdict.FAIL if stale else Verdict.PASS,
            numbers={"stale": float(len(stale))},
            sample_size=len(evidence.canaries),
            threshold=self.threshold,
            reason=f"{', '.join(stale[:5])}: the code of an earlier prompt" if stale else "none has an old code",
        )


def at_most(hits: int, total: int, rate: float) -> float:
    """The probability of `hits` or fewer of `total` at this rate."""
    return sum(math.comb(total, k) * rate**k * (1 - rate) ** (total - k) for k in range(hits + 1))
