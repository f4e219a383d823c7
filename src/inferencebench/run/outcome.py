"""One table from evidence to outcome. The first row that matches decides."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from inferencebench.gates.integrity.model import IntegrityResult, Verdict
from inferencebench.gates.quality import QualityResult
from inferencebench.run.decisions import RecordedDecision
from inferencebench.run.record import Outcome, ServerFailure


@dataclass(frozen=True)
class Evidence:
    """What the phases found. None where a phase had nothing to look at."""

    infrastructure: str | None
    failure: ServerFailure | None
    integrity: IntegrityResult | None
    quality: QualityResult | None
    decision: RecordedDecision | None = None
    """On this very evidence. It settles a review; it never clears a failed check."""
    missing: tuple[str, ...] = ()
    """Required checks that found nothing to look at: nobody can vouch for what was not checked."""
    reference: bool = False
    """The submission is the reference itself, which we wrote: its oddities need no review."""


class Decision(NamedTuple):
    """An outcome and the one line that explains it."""

    outcome: Outcome
    reason: str


def _infrastructure(e: Evidence) -> str | None:
    return e.infrastructure


def _server(e: Evidence) -> str | None:
    return e.failure.reason if e.failure else None


def _integrity(e: Evidence) -> str | None:
    if (failed := _named(e, Verdict.FAIL)) is not None:
        return failed
    d = e.decision
    return f"decided fail by {d.by}: {d.reason}" if d and d.verdict == "fail" else None


def _incomplete(e: Evidence) -> str | None:
    q = e.quality
    if q is None:
        return "the quality gate did not run"
    return f"{q.answered} of {q.total} questions answered" if q.incomplete else None


def _quality(e: Evidence) -> str | None:
    q = e.quality
    if q is None or q.passed:
        return None
    base = "unknown" if q.baseline_accuracy is None else f"{q.baseline_accuracy:.3f}"
    return f"accuracy {q.accuracy:.3f} is below {q.tau:g} x the baseline's {base}"


def _review(e: Evidence) -> str | None:
    if e.reference:
        return None
    open_question = _named(e, Verdict.REVIEW)
    if open_question is not None and e.missing:
        return f"required checks without evidence, which no decision replaces: {', '.join(e.missing)}"
    return None if e.decision and e.decision.verdict == "pass" else open_question


def _passed(e: Evidence) -> str:
    d = e.decision
    settled = d is not None and _named(e, Verdict.REVIEW) is not None
    if d and settled:
        return f"all gates passed; review decided pass by {d.by}: {d.reason}"
    if e.quality and e.quality.agreement is not None:
        return f"all gates passed; quality is not judged on random weights (agreement {e.quality.agreement:.3f})"
    return "all gates passed"


def _named(e: Evidence, verdict: Verdict) -> str | None:
    """The checks with this verdict, if they decided it."""
    if e.integrity is None or e.integrity.verdict is not verdict:
        return None
    found = [f"{c.name}: {c.reason}" for c in e.integrity.checks if c.verdict is verdict]
    return "; ".join(found) or f"integrity verdict is {verdict}"


TABLE: tuple[tuple[Outcome, Callable[[Evidence], str | None]], ...] = (
    (Outcome.INFRASTRUCTURE_ERROR, _infrastructure),
    (Outcome.SERVER_FAILED, _server),
    (Outcome.INTEGRITY_FLAGGED, _integrity),
    (Outcome.QUALITY_INCOMPLETE, _incomplete),
    (Outcome.QUALITY_FAILED, _quality),
    (Outcome.REVIEW_PENDING, _review),
    (Outcome.PASSED, _passed),
)
"""Precedence from top to bottom."""


def decide(evidence: Evidence) -> Decision:
    """The outcome of a run."""
    for outcome, rule in TABLE:
        reason = rule(evidence)
        if reason is not None:
            return Decision(outcome, reason)
    raise AssertionError("the last rule of the table always matches")
