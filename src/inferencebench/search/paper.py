"""The published protocol, for comparison: no default, no presets, no rules, no gate, the best single reading wins."""

from typing import NamedTuple

from inferencebench.search.samplers import Sampler, Told
from inferencebench.search.trials import Candidate, Machine, Status

CRASH_LOSS = 1e6
"""What the published search scored a failed trial with."""


class Found(NamedTuple):
    """The configuration that the published search ends with; None when no trial worked."""

    candidate: Candidate | None
    trials: int


def search(engine: str, sampler: Sampler, machine: Machine, budget_s: float) -> Found:
    """Ask, measure, tell, until the budget is used."""
    best: tuple[float, Candidate] | None = None
    trials = 0
    while machine.elapsed_s() < budget_s:
        candidate = Candidate(engine=engine, configuration=sampler.ask())
        reading = machine.run(candidate, 0, budget_s)
        trials += 1
        loss = reading.loss if reading.status is Status.OK and reading.loss is not None else CRASH_LOSS
        sampler.tell(Told(dict(candidate.configuration), loss, 0.0))
        if machine.elapsed_s() <= budget_s and loss < CRASH_LOSS and (best is None or loss < best[0]):
            best = loss, candidate
    return Found(best[1] if best else None, trials)
