"""How the candidates of a search stand, by all that was read of them: who may be chosen, and what a launch costs."""

from math import log
from statistics import fmean, median

from inferencebench.search.gate import accepts, can_show, chance, surely_below
from inferencebench.search.policy import FEW_READINGS, LEAST_GATE, LIKELY, MINI_PART, SLACK, Policy
from inferencebench.search.slo import worst_excess
from inferencebench.search.trials import Candidate, Gate, Machine, Reading, Status


class Standings:
    """Readings by candidate, and what follows from them."""

    def __init__(self, machine: Machine, policy: Policy) -> None:
        self._machine, self._policy = machine, policy
        self.readings: dict[str, list[Reading]] = {}
        """By a candidate's key, oldest first."""
        self._candidates: dict[str, Candidate] = {}

    def add(self, candidate: Candidate, reading: Reading) -> None:
        """One more reading."""
        self._candidates[candidate.key] = candidate
        self.readings.setdefault(candidate.key, []).append(reading)

    def launched(self, engine: str) -> int:
        """How many candidates of an engine were read."""
        return sum(c.engine == engine for c in self._candidates.values())

    def losses(self, key: str) -> list[float]:
        """Of a candidate's readings."""
        return [r.loss for r in self.readings.get(key, ()) if r.loss is not None]

    def violation(self, key: str) -> float:
        """Above 0 when a candidate must not be chosen: it failed once, is surely below tau, or breaks a limit (then by
        how much, as a share of the limit, at most 1)."""
        readings = self.readings[key]
        if self.reference is not None and key == self.reference.key:
            # What was read once can be returned: a launch of it that fails does not take the floor away.
            readings = [r for r in readings if r.status is Status.OK]
        if any(r.status is not Status.OK or r.loss is None for r in readings):
            return 1.0
        below = any(r.gate is not None and surely_below(r.gate, self._policy.tau) for r in readings)
        if below and not self.is_default(self._candidates[key]):
            return 1.0
        means = {
            name: fmean(seen)
            for name in readings[0].metrics
            if (seen := [r.metrics[name] for r in readings if name in r.metrics])
        }
        return min(1.0, max(0.0, worst_excess(self._policy.limits, means)))

    def ranked(self, engine: str | None = None) -> list[Candidate]:
        """Candidates that may be chosen, best mean first."""
        fit = [
            (fmean(self.losses(key)), key)
            for key, c in self._candidates.items()
            if (engine is None or c.engine == engine) and self.violation(key) <= 0
        ]
        return [self._candidates[key] for _, key in sorted(fit)]

    def hope(self, key: str) -> float:
        """Chance that the full gate accepts a candidate, by the largest gate that it met so far; 1 for one that met
        none."""
        gates = [r.gate for r in self.readings[key] if r.gate is not None]
        if not gates or self.is_default(self._candidates[key]):
            return 1.0
        largest, policy = max(gates, key=lambda gate: gate.total), self._policy
        return chance(largest, self._machine.full_questions, policy.tau, unproven=policy.unproven)

    def promising(self, engine: str | None = None) -> list[Candidate]:
        """Candidates that may be chosen, by what they are expected to gain over the default: the logarithm of the
        ratio of the losses, less where the full gate is not likely to accept. What is no better follows."""
        ranked = self.ranked(engine)
        default = self.default()
        if default is None:
            return ranked
        floor = fmean(self.losses(default.key))

        def gain(candidate: Candidate) -> float:
            ahead = log(floor / fmean(self.losses(candidate.key)))
            return ahead * min(1.0, self.hope(candidate.key) / LIKELY) if ahead > 0 else ahead

        return sorted(ranked, key=gain, reverse=True)

    def best(self, engine: str | None = None) -> Candidate | None:
        """The most promising."""
        return next(iter(self.promising(engine)), None)

    @property
    def reference(self) -> Candidate | None:
        """The first default that was read: gates compare with its answers."""
        defaults = (key for key, c in self._candidates.items() if not c.configuration)
        return next((self._candidates[key] for key in defaults if self.losses(key)), None)

    def default(self) -> Candidate | None:
        """The best of the defaults that need no gate."""
        return next((c for c in self.ranked() if self.is_default(c)), None)

    def is_default(self, candidate: Candidate) -> bool:
        """Whether it may be returned as it is: the reference; every engine's default where there is no gate."""
        return not candidate.configuration and (candidate == self.reference or not self._machine.full_questions)

    def refused(self, candidate: Candidate) -> bool:
        """It met the full gate and did not pass: the next candidate's turn, since asking again would ask the same."""
        full = self._full_gates(candidate)
        return bool(full) and not self._accepted(full)

    def _accepted(self, gates: list[Gate]) -> bool:
        return any(accepts(gate, self._policy.tau, unproven=self._policy.unproven) for gate in gates)

    def _full_gates(self, candidate: Candidate) -> list[Gate]:
        gates = [r.gate for r in self.readings.get(candidate.key, ()) if r.gate is not None]
        return [gate for gate in gates if gate.total >= self._machine.full_questions]

    def confirmed(self, candidate: Candidate) -> bool:
        """Launched at least twice, with a full gate whose bound holds. Where the reference answers nothing rightly
        (random weights) there is no gate, and the launches alone count."""
        readings = self.readings[candidate.key]
        ungated = self._machine.full_questions == 0
        return len(readings) >= 2 and (ungated or self._accepted(self._full_gates(candidate)))

    def unpassable(self) -> bool:
        """Whether no answers to a full gate could pass it."""
        full, policy, reference = self._machine.full_questions, self._policy, self.reference
        gates = [r.gate for r in self.readings[reference.key] if r.gate is not None] if reference is not None else []
        return bool(gates) and full > 0 and not policy.unproven and not can_show(gates[0], policy.tau, full)

    def _holds(self, candidate: Candidate) -> bool:
        """Whether the launches that did not choose it are better than the default's: its first is too good on average,
        since it is the best of many."""
        default = self.default()
        return default is None or fmean(self.losses(candidate.key)[1:]) < fmean(self.losses(default.key))

    def acceptable(self) -> list[Candidate]:
        """Confirmed configurations and defaults within all limits, best mean first."""
        return [c for c in self.ranked() if self.is_default(c) or (self.confirmed(c) and self._holds(c))]

    def questions_left(self, candidate: Candidate) -> int:
        """Of a full gate; the reference needs none, and who met one would answer the same again."""
        met = self.is_default(candidate) or self._full_gates(candidate)
        return 0 if met else self._machine.full_questions

    def mini_questions(self) -> int:
        """Of a small gate: a share of the full one, where that is short."""
        full = self._machine.full_questions
        return min(full, self._policy.mini_questions, max(LEAST_GATE, full // MINI_PART))

    def cost_s(self, candidate: Candidate | None = None) -> float:
        """What a launch takes. Of a candidate that was launched before: the most that it took, and a full gate if it
        met none. Of a new one: the median of all that worked (more than their most while they are few: in a short
        budget a plan that fails costs everything), and a small gate."""
        done = [r for rs in self.readings.values() for r in rs if r.status is Status.OK]
        if not done:
            return 0.0
        asked = [r.gate_s / r.gate.total for r in done if r.gate is not None and r.gate.total]
        question_s = median(asked) if asked else 0.0
        mine = self.readings.get(candidate.key, []) if candidate is not None else []
        took = [r.launch_s + r.measure_s for r in mine if r.status is Status.OK]
        if candidate is not None and took:
            return max(took) + question_s * self.questions_left(candidate)
        took = [r.launch_s + r.measure_s for r in done]
        gate_s = question_s * self.mini_questions()
        return (median(took) if len(took) >= FEW_READINGS else SLACK * max(took)) + gate_s

    def end_s(self) -> float:
        """When the search ends."""
        reference = self.reference
        read = [r for r in self.readings[reference.key] if r.loss is not None] if reference is not None else []
        return self._policy.end_s(read[0] if read else None)
