"""Plausibility of the answers as a set: different prompts do not get the same text."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from inferencebench.gates.integrity.grading import RULE, absent, grade
from inferencebench.gates.integrity.model import CheckResult, Evidence, Verdict
from inferencebench.load.model import RequestSample

MIN_CHARACTERS = 80
"""Shorter texts coincide by chance."""
MIN_DISTINCT_WORDS = 8
"""Below it a text is a loop, in which a small model ends by itself: two equal ones only ask for review."""
OPENING_CHARACTERS = 200
COMMON_OPENING_SHARE = 0.3


class CannedText:
    """Every prompt carries its own nonce and document, so equal long answers were not computed from them."""

    name = "canned-text"
    required = False
    threshold = (
        f"no two equal answers of {MIN_CHARACTERS} characters or more in a launch; {RULE}; review if "
        f"{COMMON_OPENING_SHARE:.0%} share their first {OPENING_CHARACTERS} characters"
    )

    def run(self, evidence: Evidence) -> CheckResult:
        """Grade answers that equal another one's of the same launch, white space and case aside.

        Repeats of a document are left out: what their text is worth is for `repeat-unique` to say."""
        repeats = {r.id for r in evidence.planned if r.probe == "repeat"}
        found = [_repeats([s for s in launch if s.id not in repeats]) for launch in evidence.launches]
        texts, canned, loops = (
            (sum(column) for column in zip(*(f[:3] for f in found), strict=True)) if found else (0, 0, 0)
        )
        if texts < 2:
            return absent(self.name, self.threshold, "fewer than two answers long enough to compare")
        opening = max(f.opening for f in found)
        shared = any(f.opening >= 2 and f.opening > COMMON_OPENING_SHARE * f.texts for f in found)
        verdict = grade(canned, texts, loops + shared)
        reason = f"{texts} answers, all different"
        if verdict is not Verdict.PASS:
            reason = (
                f"of {texts} answers to different prompts {canned} equal another one, {loops} are equal loops, and up "
                f"to {opening} share one opening"
            )
        numbers = {"equal_texts": canned, "equal_loops": loops, "largest_common_opening": opening}
        return CheckResult(
            name=self.name,
            verdict=verdict,
            numbers={name: float(value) for name, value in numbers.items()},
            sample_size=texts,
            threshold=self.threshold,
            reason=reason,
        )


class _Repeats(NamedTuple):
    """Of one launch: long texts, those equal to another, equal loops, and the size of the largest common opening."""

    texts: int
    canned: int
    loops: int
    opening: int


def _repeats(launch: Sequence[RequestSample]) -> _Repeats:
    texts = [" ".join(s.text.lower().split()) for s in launch if s.ok]
    texts = [text for text in texts if len(text) >= MIN_CHARACTERS]
    counts = Counter(texts)
    repeated = [text for text in texts if counts[text] > 1]
    canned = sum(len(set(text.split())) >= MIN_DISTINCT_WORDS for text in repeated)
    openings = Counter(t[:OPENING_CHARACTERS] for t in texts if len(t) >= OPENING_CHARACTERS)
    return _Repeats(len(texts), canned, len(repeated) - canned, max(openings.values(), default=0))


class SamplesComplete:
    """The recording must be of the planned requests: in each launch all of them, each once, and no others."""

    name = "samples-complete"
    required = True
    threshold = "the ids of each launch's samples are those of the plan, each once"

    def run(self, evidence: Evidence) -> CheckResult:
        """Ask for review if a sample is missing or unplanned: the harness records, so no submission is to blame."""
        timed = {p.name for p in evidence.scenario.profiles}
        planned = {r.id for r in evidence.planned if r.profile in timed}
        if not planned or not evidence.launches:
            return absent(self.name, self.threshold, "no plan of requests, or no launch")
        seen = [{s.id for s in launch} for launch in evidence.launches]
        missing, extra = sum(len(planned - ids) for ids in seen), sum(len(ids - planned) for ids in seen)
        wrong = bool(missing or extra)
        return CheckResult(
            name=self.name,
            verdict=Verdict.REVIEW if wrong else Verdict.PASS,
            numbers={"missing": float(missing), "unplanned": float(extra), "launches": float(len(seen))},
            sample_size=len(planned) * len(seen),
            threshold=self.threshold,
            reason=f"{missing} samples missing, {extra} unplanned" if wrong else "all are there",
        )
