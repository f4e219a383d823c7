"""The published protocol, for comparison: no default, no presets, no rules, no gate, the best single reading wins.

Trials run on the same machine as ours, so a crash is noticed as soon and the load is the scenario's own: what is
compared is what a search makes of its readings. (`simulate` has the published harness's own habits too.)
"""

from collections.abc import Callable

from inferencebench.search.journal import Entry, Journal
from inferencebench.search.outcome import Incumbent, Outcome, account
from inferencebench.search.samplers import Sampler, Told
from inferencebench.search.trials import Candidate, Kind, Machine, Status

CRASH_LOSS = 1e6
"""What the published search scored a failed trial with."""
SAMPLERS = {"random": "random", "tpe": "tpe-paper", "smac": "smac-paper"}
"""The published search's optimizers, as it set them up."""


class PaperSearch:
    """One published search of one engine's published space."""

    def __init__(
        self,
        engine: str,
        sampler: Sampler,
        machine: Machine,
        budget_s: float,
        journal: Journal,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._engine, self._sampler, self._machine = engine, sampler, machine
        self._budget_s, self._journal, self._say = budget_s, journal, say
        self._curve: list[Incumbent] = []
        for entry in journal.entries:
            self._sampler.ask()  # as it was before the kill: what comes next is new
            self._learn(entry)

    def run(self) -> Outcome:
        """Ask, measure, tell, until the budget is used. The default stands where no trial worked."""
        while self._machine.elapsed_s() < self._budget_s:
            candidate = Candidate(engine=self._engine, configuration=self._sampler.ask())
            number = len(self._journal.entries) + 1
            at_s = self._machine.elapsed_s()
            begun = Entry(number=number, kind=Kind.PROPOSED, candidate=candidate, at_s=at_s)
            self._journal.add(begun)
            reading = self._machine.run(candidate, 0, self._budget_s)
            entry = begun.model_copy(update={"at_s": self._machine.elapsed_s(), "reading": reading})
            self._journal.add(entry)
            self._say(f"{number}. {self._engine} {dict(candidate.configuration)}: {reading.status} {reading.loss}")
            self._learn(entry)
        best = self._curve[-1] if self._curve else None
        return account(
            self._journal.entries,
            candidate=best.candidate if best else Candidate(engine=self._engine),
            loss=best.loss if best else None,
            confirmed=False,
            reason="the published protocol: best single reading" if best else "no trial worked: the default stands",
            elapsed_s=self._machine.elapsed_s(),
            budget_s=self._budget_s,
            curve=self._curve,
        )

    def _learn(self, entry: Entry) -> None:
        reading = entry.reading
        if reading is None:
            return
        loss = reading.loss if reading.status is Status.OK and reading.loss is not None else CRASH_LOSS
        self._sampler.tell(Told(dict(entry.candidate.configuration), loss, 0.0))
        better = not self._curve or loss < self._curve[-1].loss
        if entry.at_s <= self._budget_s and loss < CRASH_LOSS and better:
            self._curve.append(Incumbent(at_s=entry.at_s, candidate=entry.candidate, loss=loss))
