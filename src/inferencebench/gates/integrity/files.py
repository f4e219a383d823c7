"""Which weights were opened: the pinned ones, others, or none."""

from inferencebench.gates.integrity.grading import absent
from inferencebench.gates.integrity.model import CheckResult, Evidence, Verdict
from inferencebench.paths import MODEL, WEIGHTS

PINNED_SHARE = 0.5
"""Of the pinned weights' bytes: a server that reads the model opens (nearly) all of them."""
LEAST_SHARE = 1 / 16
"""Below 2 bits for each 32-bit weight there is no model."""


class OpenedFiles:
    """A server computes with the pinned weights, or with what it says it made of them."""

    name = "opened-files"
    required = False
    threshold = (
        f"the pinned weights are opened (at least {PINNED_SHARE:.0%} of their bytes); review where only files of its "
        f"own are; fail where nothing of {LEAST_SHARE:.0%} of that size is"
    )

    def run(self, evidence: Evidence) -> CheckResult:
        """Judge the server that opened the least."""
        ends = [end for end in evidence.ends if end.opened is not None and end.weights_bytes]
        if not ends:
            return absent(self.name, self.threshold, "nobody saw which files the server opened")
        pinned, own = min(_shares(end.opened or (), end.weights_bytes) for end in ends)
        verdict = Verdict.REVIEW if pinned + own >= LEAST_SHARE else Verdict.FAIL
        verdict = Verdict.PASS if pinned >= PINNED_SHARE else verdict
        reason = f"{pinned:.0%} of the pinned weights' bytes were opened"
        if verdict is not Verdict.PASS:
            reason += f", and files of its own as large as {own:.0%} of them"
        return CheckResult(
            name=self.name,
            verdict=verdict,
            numbers={"pinned_share": pinned, "own_share": own},
            sample_size=len(ends),
            threshold=self.threshold,
            reason=reason,
        )


def _shares(opened: tuple[tuple[str, int], ...], weights: int) -> tuple[float, float]:
    """Bytes of pinned and of other files, as shares of the weights' bytes."""
    pinned = sum(size for path, size in opened if path.startswith(f"{MODEL}/") and path.endswith(WEIGHTS))
    own = sum(size for path, size in opened if not path.startswith(f"{MODEL}/"))
    return pinned / weights, own / weights
