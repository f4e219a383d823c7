"""After the search: what it chose and the default are launched anew, and what is returned is what held there."""

from collections.abc import Callable, Sequence
from math import inf
from typing import NamedTuple

from inferencebench.search.journal import Entry, Journal
from inferencebench.search.live import LiveMachine, Seen
from inferencebench.search.policy import SLACK
from inferencebench.search.slo import Slo, worst_excess
from inferencebench.search.trials import Candidate, Kind, Reading, Status


class Verified(NamedTuple):
    """One verifying launch."""

    candidate: Candidate
    seen: Seen
    is_default: bool

    def agrees(self, tau: float) -> bool:
        """Whether enough of its greedy replies are the default's; the default's own are."""
        gate = self.seen.reading.gate
        return self.is_default or gate is None or gate.ratio >= tau

    def excess(self, slos: Sequence[Slo]) -> float:
        """How far it is beyond the bounds; infinite where it did not serve."""
        reading = self.seen.reading
        return max(0.0, worst_excess(slos, reading.metrics)) if reading.status is Status.OK else inf

    def rank(self, slos: Sequence[Slo], tau: float) -> tuple[bool, bool, float]:
        """The less the better: serves, agrees, keeps the bounds."""
        excess = self.excess(slos)
        return excess == inf, not self.agrees(tau), excess


class Verification:
    """Launches after the search's decision, inside the budget."""

    def __init__(
        self,
        machine: LiveMachine,
        journal: Journal,
        measure_s: float,
        budget_s: float,
        say: Callable[[str], None],
    ) -> None:
        self._machine, self._journal, self._measure_s = machine, journal, measure_s
        self._budget_s, self._say = budget_s, say

    def run(
        self, choices: Sequence[Candidate], default: Candidate, slos: Sequence[Slo], tau: float
    ) -> tuple[Verified, Verified | None]:
        """What held best of the choices, first the best, and the default beside it where there was time.

        Where a choice does not hold the next is launched, while there is time. Without any that holds it is the one
        closest to the bounds among those that serve and agree with the default, itself included, or else among all."""
        seen: list[Verified] = []
        for candidate in choices:
            if seen and (self._held(seen[-1], slos, tau) or not self._fits(candidate)):
                break
            seen.append(self._look(candidate, default, self._machine.full_questions))
            if seen[-1].seen.reading.status is Status.INFRASTRUCTURE and self._fits(candidate):
                seen[-1] = self._look(candidate, default, self._machine.full_questions)
        beside = next((one for one in seen if one.is_default), None)
        if beside is None and self._fits(default):
            # The reference is the default's own replies: it is measured, not asked again.
            beside = self._look(default, default, 0)
            seen.append(beside)
        return min(seen, key=lambda one: one.rank(slos, tau)), beside

    def _held(self, one: Verified, slos: Sequence[Slo], tau: float) -> bool:
        return one.agrees(tau) and one.excess(slos) <= 0

    def _look(self, candidate: Candidate, default: Candidate, questions: int) -> Verified:
        number = len(self._journal.entries) + 1
        # It has the time that it took before: what cannot be launched again must not be called verified.
        deadline_s = max(self._budget_s, self._machine.elapsed_s() + SLACK * self._needs_s(candidate))
        seen = self._machine.launch(candidate, questions, self._measure_s, deadline_s)
        ended_s = self._machine.elapsed_s()
        self._journal.add(
            Entry(number=number, kind=Kind.VERIFICATION, candidate=candidate, at_s=ended_s, reading=seen.reading)
        )
        self._say(f"{number}. verification {candidate.engine} {dict(candidate.configuration)}: {seen.reading.status}")
        return Verified(candidate, seen, candidate == default)

    def _fits(self, candidate: Candidate) -> bool:
        return self._machine.elapsed_s() + self._needs_s(candidate) <= self._budget_s

    def _needs_s(self, candidate: Candidate) -> float:
        """A launch as long as its longest, and twice its longest load: the cap is twice a trial's."""
        worked: list[Reading] = [
            entry.reading
            for entry in self._journal.entries
            if entry.candidate == candidate and entry.reading is not None and entry.reading.status is Status.OK
        ]
        launch_s = max((reading.launch_s for reading in worked), default=0.0)
        return launch_s + 2 * max((reading.measure_s for reading in worked), default=0.0)
