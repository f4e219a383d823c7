"""The protocol of a search: what is measured, what is believed, and what is kept. Any sampler works under it.

The true default of every engine comes first and can always be returned, so a search does not end below it. Presets
come next. Proposals that break a documented rule are repaired before they cost a launch. Would-be winners meet a small
quality gate at once, and the best few are launched anew and gated in full inside the budget; the choice is by the mean
of all readings. Everything counts against the budget.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import zip_longest
from math import inf, log
from statistics import fmean, median
from typing import NamedTuple

from inferencebench.search.gate import chance, surely_above, surely_below
from inferencebench.search.journal import Entry, Journal
from inferencebench.search.outcome import Incumbent, Outcome, account
from inferencebench.search.policy import (
    CLOSE,
    DUPLICATE_TRIES,
    FEW_READINGS,
    HOPELESS,
    LEAST_GATE,
    LEAST_TRIALS,
    LIKELY,
    MINI_PART,
    MOST_FAULTS,
    MOST_LAUNCHES,
    RANDOM_TRIES,
    SLACK,
    WORTH,
    Policy,
)
from inferencebench.search.samplers import Sampler, Told
from inferencebench.search.slo import worst_excess
from inferencebench.search.space import Space, Value
from inferencebench.search.trials import Candidate, Gate, Kind, Machine, Reading, Status
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
        self._readings: dict[str, list[Reading]] = {}
        self._candidates: dict[str, Candidate] = {}
        self._faults: Counter[str] = Counter()
        self._turns: Counter[tuple[str, str]] = Counter()
        self._curve: list[Incumbent] = []
        for entry in journal.entries:
            if entry.kind is not Kind.VERIFICATION:
                self._learn(entry)

    def run(self) -> Outcome:
        """Search until the budget is used, then say what to launch."""
        if (pending := self._journal.pending) is not None:
            self._try(Proposal(pending.candidate, pending.kind, pending.pruned))
        for proposal in self._first():
            if proposal.candidate.key not in self._readings and self._room(self._policy.reserve_share):
                self._try(proposal)
        while self._room(self._policy.reserve_share) and (found := self._next()) is not None:
            self._try(found)
        self._confirm()
        # What the confirmations left over still buys trials, as long as the best could be launched once more.
        while self._room(0.0) and (found := self._next()) is not None:
            self._try(found)
            self._confirm()
        return self._decide()

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
                if key not in self._readings and key not in self._faults:
                    return proposal
        return None

    def _proposal(self, engine: str, *, at_random: bool) -> Proposal:
        space = self._spaces[engine]
        best = self._best(engine)
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
        counts = {name: sum(c.engine == name for c in self._candidates.values()) for name in self._spaces}
        few = [name for name in counts if counts[name] < LEAST_TRIALS]
        if few:
            return min(few, key=lambda name: counts[name])
        best = self._best()
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
        budget_s = self._policy.budget_s
        begun = Entry(
            number=len(self._journal.entries) + 1,
            kind=proposal.kind,
            candidate=proposal.candidate,
            at_s=self._machine.elapsed_s(),
            pruned=proposal.pruned,
        )
        asked = self._mini_questions() if questions is None else questions
        best = self._best()
        # Who would not be the best is not asked: the time is better spent on another trial.
        bar = inf if best is None or questions is not None else WORTH * fmean(self._losses(best.key))
        for _ in range(2):
            self._journal.add(begun.model_copy(update={"at_s": self._machine.elapsed_s()}))
            reading = self._machine.run(proposal.candidate, asked, budget_s, bar)
            entry = begun.model_copy(update={"at_s": self._machine.elapsed_s(), "reading": reading})
            self._journal.add(entry)
            said = f"{begun.number}. {begun.kind} {proposal.candidate.engine} {dict(proposal.candidate.configuration)}"
            self._say(f"{said}: {_told(reading)}")
            if reading.status is not Status.INFRASTRUCTURE or self._machine.elapsed_s() >= budget_s:
                break
        self._learn(entry)

    def _learn(self, entry: Entry) -> None:
        reading = entry.reading
        if reading is None:
            return
        if reading.status is Status.INFRASTRUCTURE:
            self._faults[entry.candidate.key] += 1
            return
        if entry.at_s > self._policy.budget_s:
            return  # read on time that the search did not have, or cut off by its end
        key = entry.candidate.key
        self._candidates[key] = entry.candidate
        self._readings.setdefault(key, []).append(reading)
        violation = self._violation(key) or max(0.0, HOPELESS - self._hope(key))
        losses = [r.loss for rs in self._readings.values() for r in rs if r.loss is not None]
        worst = max(losses, default=1.0)
        loss = worst if violation > 0 or reading.loss is None else fmean(self._losses(key))
        # The logarithm makes ratios of losses alike, whatever their unit.
        told = Told(dict(entry.candidate.configuration), log(max(loss, 1e-12)), violation)
        self._samplers[entry.candidate.engine].tell(told)
        best = self._best()
        if best is not None:
            now = Incumbent(at_s=entry.at_s, candidate=best, loss=fmean(self._losses(best.key)))
            if not self._curve or (self._curve[-1].candidate, self._curve[-1].loss) != (best, now.loss):
                self._curve.append(now)

    def _losses(self, key: str) -> list[float]:
        return [r.loss for r in self._readings[key] if r.loss is not None]

    def _violation(self, key: str) -> float:
        """Above 0 when a candidate must not be chosen: it failed once, is surely below tau, or breaks a limit (then by
        how much, as a share of the limit, at most 1)."""
        readings = self._readings[key]
        if any(r.status is not Status.OK or r.loss is None for r in readings):
            return 1.0
        if any(r.gate is not None and surely_below(r.gate, self._policy.tau) for r in readings):
            return 1.0
        means = {
            name: fmean(seen)
            for name in readings[0].metrics
            if (seen := [r.metrics[name] for r in readings if name in r.metrics])
        }
        return min(1.0, max(0.0, worst_excess(self._policy.limits, means)))

    def _ranked(self, engine: str | None = None) -> list[Candidate]:
        """Candidates that may be chosen, best mean first."""
        fit = [
            (fmean(self._losses(key)), key)
            for key, c in self._candidates.items()
            if (engine is None or c.engine == engine) and self._violation(key) <= 0
        ]
        return [self._candidates[key] for _, key in sorted(fit)]

    def _hope(self, key: str) -> float:
        """Chance that the full gate accepts a candidate, by the largest gate that it met so far; 1 for one that met
        none."""
        gates = [r.gate for r in self._readings[key] if r.gate is not None]
        if not gates or key == Candidate(engine=self._candidates[key].engine).key:
            return 1.0
        return chance(max(gates, key=lambda gate: gate.total), self._machine.full_questions, self._policy.tau)

    def _promising(self, engine: str | None = None) -> list[Candidate]:
        """Candidates that may be chosen, by what they are expected to gain over the default: the logarithm of the
        ratio of the losses, less where the full gate is not likely to accept. What is no better follows."""
        ranked = self._ranked(engine)
        default = next((c for c in self._ranked() if self._is_default(c)), None)
        if default is None:
            return ranked
        floor = fmean(self._losses(default.key))

        def gain(candidate: Candidate) -> float:
            ahead = log(floor / fmean(self._losses(candidate.key)))
            return ahead * min(1.0, self._hope(candidate.key) / LIKELY) if ahead > 0 else ahead

        return sorted(ranked, key=gain, reverse=True)

    def _best(self, engine: str | None = None) -> Candidate | None:
        """The most promising."""
        return next(iter(self._promising(engine)), None)

    # --- the end ----------------------------------------------------------------------------------------------------

    def _cost_s(self, candidate: Candidate | None = None) -> float:
        """What a launch takes. Of a candidate that was launched before: the most that it took, and a full gate if it
        met none. Of a new one: the median of all that worked (more than their most while they are few: in a short
        budget a plan that fails costs everything), and a small gate."""
        done = [r for rs in self._readings.values() for r in rs if r.status is Status.OK]
        if not done:
            return 0.0
        asked = [r.gate_s / r.gate.total for r in done if r.gate is not None and r.gate.total]
        question_s = median(asked) if asked else 0.0
        mine = self._readings.get(candidate.key, []) if candidate is not None else []
        took = [r.launch_s + r.measure_s for r in mine if r.status is Status.OK]
        if candidate is not None and took:
            return max(took) + question_s * self._questions_left(candidate)
        took = [r.launch_s + r.measure_s for r in done]
        gate_s = question_s * self._mini_questions()
        return (median(took) if len(took) >= FEW_READINGS else SLACK * max(took)) + gate_s

    def _room(self, reserve_share: float) -> bool:
        """Whether one more trial leaves enough for the confirmations: this share, and at least one launch."""
        budget, cost = self._policy.budget_s, self._cost_s()
        best = self._best()
        reserve = min(max(reserve_share * budget, 1.05 * self._cost_s(best)), 0.5 * budget)
        return self._machine.elapsed_s() + cost + reserve <= budget

    def _confirm(self) -> None:
        """Fresh launches with the full gate for the best few, the most promising first, while there is time.

        Then more launches of those that are still rivals: of the default too, where it is nearly as good."""
        while True:
            default = self._default()
            floor = fmean(self._losses(default.key)) if default else float("inf")
            better = [c for c in self._promising() if fmean(self._losses(c.key)) < floor and not self._refused(c)]
            top = [c for c in better if not self._is_default(c)][: self._policy.confirm]
            top = [c for c in top if self._faults[c.key] < MOST_FAULTS]
            waiting = [c for c in top if not self._confirmed(c)]
            rivals = [c for c in top if len(self._readings[c.key]) < MOST_LAUNCHES]
            if default and top and fmean(self._losses(top[0].key)) > CLOSE * floor:
                rivals += [default] if len(self._readings[default.key]) < MOST_LAUNCHES else []
            if not waiting and len(rivals) < 2:
                return
            left_s = self._policy.budget_s - self._machine.elapsed_s()
            wanted = waiting or sorted(rivals, key=lambda c: len(self._readings[c.key]))
            chosen = next((c for c in wanted if self._cost_s(c) <= left_s), None)
            if chosen is None:
                return
            self._try(Proposal(chosen, Kind.CONFIRMATION), self._questions_left(chosen))

    def _questions_left(self, candidate: Candidate) -> int:
        """Of a full gate; a default needs none, and who met one would answer the same again."""
        met = self._is_default(candidate) or self._full_gates(candidate)
        return 0 if met else self._machine.full_questions

    def _mini_questions(self) -> int:
        """Of a small gate: a share of the full one, where that is short."""
        full = self._machine.full_questions
        return min(full, self._policy.mini_questions, max(LEAST_GATE, full // MINI_PART))

    def _default(self) -> Candidate | None:
        """The best default of all engines."""
        return next((c for c in self._ranked() if self._is_default(c)), None)

    def _is_default(self, candidate: Candidate) -> bool:
        return not candidate.configuration

    def _refused(self, candidate: Candidate) -> bool:
        """It met the full gate and did not pass: the next candidate's turn, since asking again would ask the same."""
        full = self._full_gates(candidate)
        return bool(full) and not any(surely_above(gate, self._policy.tau) for gate in full)

    def _full_gates(self, candidate: Candidate) -> list[Gate]:
        gates = [r.gate for r in self._readings[candidate.key] if r.gate is not None]
        return [gate for gate in gates if gate.total >= self._machine.full_questions]

    def _confirmed(self, candidate: Candidate) -> bool:
        """Launched at least twice, with a full gate whose bound holds. Where the reference answers nothing rightly
        (random weights) there is no gate, and the launches alone count."""
        readings = self._readings[candidate.key]
        if not any(r.gate is not None for rs in self._readings.values() for r in rs):
            return len(readings) >= 2
        return len(readings) >= 2 and any(surely_above(g, self._policy.tau) for g in self._full_gates(candidate))

    def _holds(self, candidate: Candidate) -> bool:
        """Whether the launches that did not choose it are better than the default's: its first is too good on average,
        since it is the best of many."""
        default = self._default()
        return default is None or fmean(self._losses(candidate.key)[1:]) < fmean(self._losses(default.key))

    def acceptable(self) -> list[Candidate]:
        """Confirmed configurations and defaults within all limits, best mean first."""
        return [c for c in self._ranked() if self._is_default(c) or (self._confirmed(c) and self._holds(c))]

    def _decide(self) -> Outcome:
        chosen = next(iter(self.acceptable()), None)
        if chosen is None:
            chosen, reason = Candidate(engine=next(iter(self._spaces))), "nothing was confirmed: the default stands"
        elif self._is_default(chosen):
            reason = "no confirmed configuration is better than the default"
        else:
            reason = f"best mean of {len(self._readings[chosen.key])} launches among confirmed configurations"
        losses = self._losses(chosen.key) if chosen.key in self._readings else []
        return account(
            self._journal.entries,
            candidate=chosen,
            loss=fmean(losses) if losses else None,
            confirmed=not self._is_default(chosen),
            reason=reason,
            elapsed_s=self._machine.elapsed_s(),
            budget_s=self._policy.budget_s,
            curve=self._curve,
        )


def _told(reading: Reading) -> str:
    if reading.loss is None:
        why = (reading.reason.splitlines() or ["no reason"])[0][:120]
        return f"{reading.status} after {reading.seconds:.0f} s ({why})"
    gate = "" if reading.gate is None else f", accuracy ratio {reading.gate.ratio:.3f}"
    return f"loss {reading.loss:.5g}{gate}, {reading.seconds:.0f} s"
