"""The protocol of a search: what is measured, what is believed, and what is kept. Any sampler works under it.

The true default of every engine comes first. The first that can be read is the reference: it can always be returned,
so a search does not end below it. Presets come next. Proposals that break a documented rule are repaired before they
cost a launch. Would-be winners meet a small quality gate at once, and the best few are launched anew and gated in full
inside the budget; the choice is by the mean of all readings. Everything counts against the budget.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import zip_longest
from math import inf, log
from statistics import fmean
from typing import NamedTuple

from inferencebench.search.journal import Entry, Journal
from inferencebench.search.outcome import Incumbent, Outcome, account
from inferencebench.search.policy import (
    CLOSE,
    DUPLICATE_TRIES,
    HOPELESS,
    LEAST_TRIALS,
    MOST_BEGUN,
    MOST_FAULTS,
    MOST_LAUNCHES,
    RANDOM_TRIES,
    WORTH,
    Policy,
)
from inferencebench.search.samplers import Sampler, Told
from inferencebench.search.space import Space, Value
from inferencebench.search.standings import Standings
from inferencebench.search.trials import Candidate, Kind, Machine, Reading, Status
from inferencebench.suites.model import ScenarioName


class Proposal(NamedTuple):
    """What to try, and why."""

    candidate: Candidate
    kind: Kind
    pruned: tuple[str, ...] = ()
    """Sources of the rules that it broke before it was changed."""


class Search:
    """One search over one or several engines."""

    def __init__(
        self,
        spaces: Mapping[str, Space],
        samplers: Mapping[str, Sampler],
        scenario: ScenarioName,
        machine: Machine,
        policy: Policy,
        journal: Journal,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._spaces, self._samplers, self._scenario = spaces, samplers, scenario
        self._machine, self._policy, self._journal, self._say = machine, policy, journal, say
        self._random = random.Random(policy.seed)
        self.standings = Standings(machine, policy)
        self._faults: Counter[str] = Counter()
        self._turns: Counter[tuple[str, str]] = Counter()
        self._curve: list[Incumbent] = []
        # Of a trial that was run twice its last reading counts, and of one that is run again none yet.
        last = {entry.number: entry for entry in journal.entries if entry.kind is not Kind.VERIFICATION}
        if journal.pending is not None:
            last.pop(journal.pending.number, None)
        for entry in last.values():
            self._learn(entry)

    def run(self) -> Outcome:
        """Search until the budget is used, then say what to launch."""
        self._resume()
        for proposal in self._first():
            if proposal.candidate.key not in self.standings.readings and self._room(self._policy.reserve_share):
                self._try(proposal)
        while self._room(self._policy.reserve_share) and (found := self._next()) is not None:
            self._try(found)
        self._confirm()
        # What the confirmations left over still buys trials, as long as the best could be launched once more.
        while self._room(0.0) and (found := self._next()) is not None:
            self._try(found)
            self._confirm()
        return self._decide()

    def _resume(self) -> None:
        """Run again what was under way at a kill. What was so twice takes the harness down, and is left as crashed; but
        without a default nothing can be compared."""
        pending = self._journal.pending
        if pending is None:
            return
        if self._journal.begun >= MOST_BEGUN and pending.candidate.configuration:
            reading = Reading(status=Status.CRASHED, reason="under way when the harness ended, twice")
            entry = pending.model_copy(update={"at_s": self._machine.elapsed_s(), "reading": reading})
            self._journal.add(entry)
            self._learn(entry)
            return
        full = pending.kind is Kind.CONFIRMATION
        questions = self.standings.questions_left(pending.candidate) if full else None
        self._try(Proposal(pending.candidate, pending.kind, pending.pruned), questions)

    # --- what to try ------------------------------------------------------------------------------------------------

    def _first(self) -> list[Proposal]:
        """Every default, then the engines' first guesses in turn: the best guess of each before the second of any."""
        found = [Proposal(Candidate(engine=name), Kind.DEFAULT) for name in self._spaces]
        guesses = [
            [Candidate(engine=name, configuration=space.tidy(preset)) for preset in space.presets[self._scenario]]
            for name, space in self._spaces.items()
            if self._policy.presets and self._scenario in space.presets
        ]
        in_turn = (guess for round_ in zip_longest(*guesses) for guess in round_ if guess is not None)
        return found + [Proposal(guess, Kind.PRESET) for guess in in_turn]

    def _next(self) -> Proposal | None:
        """A neighbour of the best, or the sampler's proposal, of the engine whose turn it is; None when nothing new
        was found in any engine's space."""
        first = self._engine()
        for engine in (first, *(name for name in self._spaces if name != first)):
            for attempt in range(DUPLICATE_TRIES + RANDOM_TRIES):
                proposal = self._proposal(engine, at_random=attempt >= DUPLICATE_TRIES)
                key = proposal.candidate.key
                if key not in self.standings.readings and key not in self._faults:
                    return proposal
        return None

    def _proposal(self, engine: str, *, at_random: bool) -> Proposal:
        space = self._spaces[engine]
        best = self.standings.best(engine)
        kind = Kind.PROPOSED
        if at_random:
            picked = {p.name: self._random.choice(p.choices) for p in space.parameters}
            proposal = space.tidy({name: value for name, value in picked.items() if value is not None})
        elif best is not None and self._random.random() < self._policy.neighbour_share:
            kind, proposal = Kind.NEIGHBOUR, self._neighbour(space, best.configuration)
        else:
            proposal = self._samplers[engine].ask()
        configuration, broken = self._repair(space, proposal)
        return Proposal(Candidate(engine=engine, configuration=configuration), kind, broken)

    def _engine(self) -> str:
        """Engines below their least share first; then the one of the best candidate, others one time in four."""
        counts = {name: self.standings.launched(name) for name in self._spaces}
        few = [name for name in counts if counts[name] < LEAST_TRIALS]
        if few:
            return min(few, key=lambda name: counts[name])
        best = self.standings.best()
        if best is None or self._random.random() < 0.25:
            return self._random.choice(sorted(self._spaces))
        return best.engine

    def _neighbour(self, space: Space, configuration: Mapping[str, Value]) -> dict[str, Value]:
        """One setting changed: each has its turn before any has a second."""
        changed = dict(configuration)
        turns = {p.name: self._turns[space.engine, p.name] for p in space.parameters if len(p.choices) > 1}
        parameter = self._random.choice([p for p in space.parameters if turns.get(p.name) == min(turns.values())])
        self._turns[space.engine, parameter.name] += 1
        now = changed.pop(parameter.name, None)
        value = self._random.choice([choice for choice in parameter.choices if choice != now])
        if value is not None:
            changed[parameter.name] = value
        return space.tidy(changed)

    def _repair(self, space: Space, configuration: dict[str, Value]) -> tuple[dict[str, Value], tuple[str, ...]]:
        """Unset, or change, settings of broken rules one at a time until none is broken; also the rules' sources."""
        broken: list[str] = []
        for _ in range(len(space.forbid) + 1):
            rule = space.forbidden(configuration)
            if rule is None:
                break
            broken.append(rule.source)
            name = self._random.choice(sorted(rule.all))
            parameter = next(p for p in space.parameters if p.name == name)
            allowed = [choice for choice in parameter.choices if choice not in rule.all[name]]
            value = self._random.choice(allowed) if allowed else None
            configuration = {k: v for k, v in configuration.items() if k != name}
            if value is not None:
                configuration[name] = value
            configuration = space.tidy(configuration)
        return configuration, tuple(broken)

    # --- running and learning ---------------------------------------------------------------------------------------

    def _try(self, proposal: Proposal, questions: int | None = None) -> None:
        budget_s = self.standings.end_s()
        begun = Entry(
            number=len(self._journal.entries) + 1,
            kind=proposal.kind,
            candidate=proposal.candidate,
            at_s=self._machine.elapsed_s(),
            pruned=proposal.pruned,
        )
        asked = self.standings.mini_questions() if questions is None else questions
        best = self.standings.best()
        # Who would not be the best is not asked: the time is better spent on another trial.
        bar = inf if best is None or questions is not None else WORTH * fmean(self.standings.losses(best.key))
        for _ in range(2):
            self._journal.add(begun.model_copy(update={"at_s": self._machine.elapsed_s()}))
            reading = self._machine.run(proposal.candidate, asked, budget_s, bar)
            entry = begun.model_copy(update={"at_s": self._machine.elapsed_s(), "reading": reading})
            self._journal.add(entry)
            said = f"{begun.number}. {begun.kind} {proposal.candidate.engine} {dict(proposal.candidate.configuration)}"
            self._say(f"{said}: {reading.told}")
            # Without a default there is neither floor nor gate: whatever it failed of, it is tried once more.
            again = not proposal.candidate.configuration and reading.status is not Status.OK
            again = again or reading.status is Status.INFRASTRUCTURE
            if not again or self._machine.elapsed_s() >= budget_s:
                break
        self._learn(entry)

    def _learn(self, entry: Entry) -> None:
        reading = entry.reading
        if reading is None:
            return
        if reading.status is Status.INFRASTRUCTURE:
            self._faults[entry.candidate.key] += 1
            return
        if entry.at_s > self.standings.end_s():
            return  # read on time that the search did not have, or cut off by its end
        key = entry.candidate.key
        self.standings.add(entry.candidate, reading)
        violation = self.standings.violation(key) or max(0.0, HOPELESS - self.standings.hope(key))
        losses = [r.loss for rs in self.standings.readings.values() for r in rs if r.loss is not None]
        worst = max(losses, default=1.0)
        loss = worst if violation > 0 or reading.loss is None else fmean(self.standings.losses(key))
        # The logarithm makes ratios of losses alike, whatever their unit.
        told = Told(dict(entry.candidate.configuration), log(max(loss, 1e-12)), violation)
        self._samplers[entry.candidate.engine].tell(told)
        best = self.standings.best()
        if best is not None:
            now = Incumbent(at_s=entry.at_s, candidate=best, loss=fmean(self.standings.losses(best.key)))
            if not self._curve or (self._curve[-1].candidate, self._curve[-1].loss) != (best, now.loss):
                self._curve.append(now)

    # --- the end ----------------------------------------------------------------------------------------------------

    def _room(self, reserve_share: float) -> bool:
        """Whether one more trial leaves enough for the confirmations: this share, and at least one launch."""
        budget, cost = self.standings.end_s(), self.standings.cost_s()
        best = self.standings.best()
        reserve = min(max(reserve_share * budget, 1.05 * self.standings.cost_s(best)), 0.5 * budget)
        return self._machine.elapsed_s() + cost + reserve <= budget

    def _confirm(self) -> None:
        """Fresh launches with the full gate for the best few, the most promising first, while there is time.

        Then more launches of those that are still rivals: of the default too, where it is nearly as good."""
        while True:
            stand = self.standings
            default = stand.default()
            floor = fmean(stand.losses(default.key)) if default else inf
            better = [c for c in stand.promising() if fmean(stand.losses(c.key)) < floor and not stand.refused(c)]
            top = [c for c in better if not stand.is_default(c)][: self._policy.confirm]
            top = [c for c in top if self._faults[c.key] < MOST_FAULTS]
            waiting = [c for c in top if not stand.confirmed(c)]
            rivals = [c for c in top if len(stand.readings[c.key]) < MOST_LAUNCHES]
            if default and top and fmean(stand.losses(top[0].key)) > CLOSE * floor:
                rivals += [default] if len(stand.readings[default.key]) < MOST_LAUNCHES else []
            if not waiting and len(rivals) < 2:
                return
            left_s = stand.end_s() - self._machine.elapsed_s()
            wanted = waiting or sorted(rivals, key=lambda c: len(stand.readings[c.key]))
            chosen = next((c for c in wanted if stand.cost_s(c) <= left_s), None)
            if chosen is None:
                return
            self._try(Proposal(chosen, Kind.CONFIRMATION), stand.questions_left(chosen))

    def _decide(self) -> Outcome:
        chosen = next(iter(self.standings.acceptable()), None)
        if chosen is None:
            chosen = self.standings.reference or Candidate(engine=next(iter(self._spaces)))
            reason = "nothing was confirmed: the default stands"
        elif self.standings.is_default(chosen):
            reason = "no confirmed configuration is better than the default"
            if self.standings.unpassable():
                reason = "the default answers too few questions rightly for a gate to show tau: it stands"
        else:
            reason = f"best mean of {len(self.standings.readings[chosen.key])} launches among confirmed configurations"
        losses = self.standings.losses(chosen.key)
        return account(
            self._journal.entries,
            candidate=chosen,
            loss=fmean(losses) if losses else None,
            confirmed=not self.standings.is_default(chosen),
            reason=reason,
            elapsed_s=self._machine.elapsed_s(),
            budget_s=self.standings.end_s(),
            curve=self._curve,
        )
