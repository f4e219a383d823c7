"""The mini gate: may a candidate be used, judged from few questions? It rejects only what is surely below tau."""

import math
from typing import NamedTuple

Z_ONE_SIDED_95 = 1.6448536269514722


class Proportion(NamedTuple):
    """Right answers of so many questions."""

    correct: int
    total: int

    @property
    def share(self) -> float:
        """The accuracy."""
        return self.correct / self.total


def may_pass(candidate: Proportion, baseline: Proportion, tau: float) -> bool:
    """Whether `candidate` is compatible with an accuracy of tau times the baseline's, on other questions.

    False when the difference of the two proportions is below zero by more than 1.645 standard errors (one-sided 95 %,
    normal approximation, the candidate's variance under the hypothesis)."""
    bound = tau * baseline.share
    variance = bound * (1 - bound) / candidate.total + tau**2 * baseline.share * (1 - baseline.share) / baseline.total
    return candidate.share - bound >= -Z_ONE_SIDED_95 * math.sqrt(variance)
