"""The protocol's settings and the numbers that it lives by."""

from collections.abc import Sequence
from dataclasses import dataclass

from inferencebench.search.slo import Slo
from inferencebench.search.trials import Reading

MEASURE_SHARE, LEAST_MEASURE_S, MOST_MEASURE_S = 0.02, 8.0, 60.0
"""Time cap of a trial's load, as a share of the budget, with its bounds."""
DUPLICATE_TRIES = 12
"""Proposals that are known already, before random ones are drawn instead."""
RANDOM_TRIES = 200
"""Random draws that are known already, before a space counts as used up."""
FEW_READINGS, SLACK = 8, 1.2
"""With fewer readings the next trial may take so many times the longest: a cold compile cache, a larger graph."""
LIKELY, HOPELESS = 0.5, 0.1
"""Chances of passing the full gate: from the first on a gain counts in full, below the second a sampler is told of a
broken constraint."""
LEAST_GATE = 20
"""Questions of any gate (all, where there are fewer): fewer equal answers prove nothing, and one that differs would
prove too much."""
MINI_PART = 3
"""A small gate asks a third of a full one's questions."""
WORTH = 1.1
"""Losses up to so many times the best so far meet the small gate: with noise, they may be better."""
MOST_FAULTS = 2
"""Failures of the machine with one candidate, after which it is left: it may not be the machine after all."""
MOST_BEGUN = 2
"""Begins of a trial without an end, after which it counts as crashed."""
MOST_LAUNCHES = 4
"""Of one candidate; between rivals the mean over launches decides."""
CLOSE = 0.85
"""A best whose loss is a larger share of the default's may owe that to noise: the default is launched again too."""
LEAST_TRIALS = 8
"""Of every engine before any is left aside: a bad default says little about an engine's optimum."""


def measure_cap_s(budget_s: float) -> float:
    """Time cap of a trial's load."""
    return max(LEAST_MEASURE_S, min(MOST_MEASURE_S, MEASURE_SHARE * budget_s))


@dataclass(frozen=True)
class Policy:
    """The protocol's settings."""

    budget_s: float
    reserve_share: float = 0.2
    """For confirmations; more where launches are slow."""
    confirm: int = 3
    """Candidates that are confirmed."""
    mini_questions: int = 100
    tau: float = 0.95
    neighbour_share: float = 0.5
    """Of proposals after the presets: one setting away from the best so far."""
    presets: bool = True
    limits: Sequence[Slo] = ()
    """Bounds on the means of a candidate's readings."""
    seed: int = 0
    unproven: bool = False
    """Where a full gate has too few questions to show tau, whether the ratio alone decides; else nothing passes."""
    whole_s: float | None = None
    """The budget that the search is a part of, where its end is kept for verifying: two launches, two loads of twice a
    trial's time and a gate, as the default took them and a fifth more."""

    def end_s(self, default: Reading | None) -> float:
        """When the search ends, by what is known of the default; above 0."""
        if self.whole_s is None or default is None:
            return self.budget_s
        verifying_s = 2 * default.launch_s + 4 * default.measure_s + default.gate_s
        return max(1.0, min(self.budget_s, self.whole_s - SLACK * verifying_s))
