"""From answers to a gate: a candidate's against the reference's, on the same questions."""

from collections.abc import Mapping
from math import sqrt

from inferencebench.search.trials import Gate


def paired(mine: Mapping[str, bool], reference: Mapping[str, bool]) -> Gate | None:
    """The gate on the questions that both answered: question → answered rightly. None where there is none, or where
    the reference is never right.

    Its standard error is that of a difference of paired proportions, sqrt(b + c) / n with b and c the questions that
    only one of the two answers rightly (McNemar), relative to the reference's accuracy."""
    both = [(correct, reference[question]) for question, correct in mine.items() if question in reference]
    right = sum(theirs for _, theirs in both)
    if not both or not right:
        return None
    differing = sum(ours != theirs for ours, theirs in both)
    return Gate(
        correct=sum(ours for ours, _ in both),
        total=len(both),
        reference_share=right / len(both),
        standard_error=sqrt(differing) / right,
    )
