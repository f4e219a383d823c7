"""The mini gate: may a candidate be used, judged from few questions? It rejects only what is surely below tau."""

import math

SIGNIFICANCE = 0.05


def may_pass(correct: int, total: int, tau: float, baseline_accuracy: float) -> bool:
    """Whether `correct` of `total` is compatible with an accuracy of tau times the baseline's.

    False when P(X <= correct) < 0.05 for X binomial with that accuracy: a one-sided exact test."""
    bound = min(1.0, tau * baseline_accuracy)
    tail = sum(math.comb(total, k) * bound**k * (1 - bound) ** (total - k) for k in range(correct + 1))
    return tail >= SIGNIFICANCE
