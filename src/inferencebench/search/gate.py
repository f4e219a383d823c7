"""From answers to a gate, a candidate's against the reference's on the same questions, and from a gate to a verdict."""

from collections.abc import Mapping
from math import sqrt
from statistics import NormalDist

from inferencebench.search.trials import Gate

Z_ONE_SIDED_95 = 1.6448536269514722


def paired(mine: Mapping[str, bool], reference: Mapping[str, bool]) -> Gate | None:
    """The gate on the questions that both answered: question → answered rightly. None where there is none, or where
    the reference is never right.

    Its standard error is that of a difference of paired proportions, sqrt(b + c) / n with b and c the questions that
    only one of the two answers rightly (McNemar), relative to the reference's accuracy. Where no answer differs, one is
    counted: with none the error would be 0, and the fewest equal answers would prove anything."""
    both = [(correct, reference[question]) for question, correct in mine.items() if question in reference]
    right = sum(theirs for _, theirs in both)
    if not both or not right:
        return None
    differing = sum(ours != theirs for ours, theirs in both)
    return Gate(
        correct=sum(ours for ours, _ in both),
        total=len(both),
        reference_share=right / len(both),
        standard_error=sqrt(max(differing, 1)) / right,
    )


def surely_below(gate: Gate, tau: float) -> bool:
    """Whether the accuracy ratio is below tau by more than 1.645 standard errors (one-sided 95 %)."""
    return gate.total > 0 and gate.ratio + Z_ONE_SIDED_95 * gate.standard_error < tau


def surely_above(gate: Gate, tau: float) -> bool:
    """Whether the one-sided 95 % lower bound of the accuracy ratio is at least tau."""
    return gate.total > 0 and gate.ratio - Z_ONE_SIDED_95 * gate.standard_error >= tau


def can_show(gate: Gate, tau: float, questions: int | None = None) -> bool:
    """Whether a gate of so many questions (its own without) can show tau: with answers all as the reference's, the
    bound is 1 - 1.645 / right answers of the reference."""
    right = gate.reference_share * (gate.total if questions is None else questions)
    return right > 0 and 1 - Z_ONE_SIDED_95 / right >= tau


def accepts(gate: Gate, tau: float, *, unproven: bool = False) -> bool:
    """Whether a full gate is passed: its ratio is surely above tau or, where `unproven` says that this will do and no
    answers to so few questions could show that, its ratio alone is."""
    return surely_above(gate, tau) or (unproven and not can_show(gate, tau) and gate.ratio >= tau)


def chance(gate: Gate, questions: int, tau: float, *, unproven: bool = False) -> float:
    """Chance that a gate of so many questions, these among them, accepts: that its ratio is above tau by its bound.

    The standard error shrinks with the root of the questions, and what is still to be asked spreads around what was
    seen with the rest of the variance. Normal approximation."""
    if unproven and not can_show(gate, tau, questions):
        return float(gate.ratio >= tau)
    share = min(1.0, gate.total / questions) if questions else 1.0
    needed = tau + Z_ONE_SIDED_95 * gate.standard_error * sqrt(share)
    spread = gate.standard_error * sqrt(1 - share)
    if spread <= 0:
        return float(gate.ratio >= needed)
    return NormalDist().cdf((gate.ratio - needed) / spread)
