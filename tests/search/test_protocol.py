"""The protocol on a machine of the tests' own, and on the simulated engine in a short form."""

import json
from math import inf
from pathlib import Path

import pytest

from inferencebench.search import simulate
from inferencebench.search.gate import chance
from inferencebench.search.journal import Journal
from inferencebench.search.policy import LEAST_TRIALS, Policy
from inferencebench.search.protocol import Search
from inferencebench.search.samplers import make
from inferencebench.search.slo import Slo
from inferencebench.search.trials import Candidate, Gate, Kind, Reading, Status
from inferencebench.suites.model import ScenarioName
from tests.search.toy import SPACE, Toy, search


def test_the_default_is_first_and_the_best_honest_setting_is_found(tmp_path: Path) -> None:
    machine = Toy()
    outcome = search(machine, tmp_path / "j")
    assert machine.seen[0].configuration == {}
    assert machine.seen[1].configuration == {"speed": 2}
    assert outcome.candidate.configuration == {"speed": 5}
    assert outcome.confirmed
    assert outcome.elapsed_s <= 600
    assert outcome.confirm_s > 0
    assert not any("banned" in c.configuration for c in machine.seen)
    crashed = [c.key for c in machine.seen if c.configuration.get("crash")]
    assert len(crashed) == len(set(crashed)), "a crash is not proposed twice"


def test_a_full_gate_is_met_once(tmp_path: Path) -> None:
    machine = Toy()
    chosen = search(machine, tmp_path / "j").candidate.key
    asked = [questions for key, questions in machine.asked if key == chosen]
    assert asked.count(machine.full_questions) == 1
    assert asked.count(0) >= 1, "a further launch, without questions"


def test_where_few_questions_are_a_full_gate_fewer_are_a_small_one(tmp_path: Path) -> None:
    machine = Toy()
    machine.full_questions = 90
    search(machine, tmp_path / "j")
    assert {questions for _, questions in machine.asked} == {0, 30, 90}


def test_a_search_never_ends_below_the_default(tmp_path: Path) -> None:
    assert search(Toy(worse=True), tmp_path / "j").candidate.configuration == {}


def test_what_the_full_gate_refuses_makes_room_for_the_next(tmp_path: Path) -> None:
    class Borderline(Toy):
        """Everything faster than speed 3 answers a little worse: not surely below tau, never surely above it."""

        def run(self, candidate: Candidate, questions: int, deadline_s: float, worth: float = inf) -> Reading:
            reading = super().run(candidate, questions, deadline_s)
            if float(candidate.configuration.get("speed", 0)) < 4 or reading.gate is None:
                return reading
            worse = reading.gate.model_copy(update={"correct": int(0.765 * questions), "standard_error": 0.02})
            return reading.model_copy(update={"gate": worse})

    machine = Borderline()
    outcome = search(machine, tmp_path / "j")
    assert outcome.candidate.configuration == {"speed": 3}
    assert outcome.confirmed
    rows = [json.loads(line) for line in (tmp_path / "j").read_bytes().splitlines()]
    done = [r for r in rows if r.get("kind") == Kind.CONFIRMATION and r["reading"] is not None]
    fast = [r for r in done if r["candidate"]["configuration"].get("speed", 0) >= 4]
    assert len(fast) == len({str(r["candidate"]) for r in fast}), "one full gate each"


def test_a_likely_gain_goes_before_a_large_one_that_the_gate_will_refuse(tmp_path: Path) -> None:
    class Tempting(Toy):
        """`cheat` is three times as fast, and a little worse: no small gate is sure of it, the full one is."""

        def run(self, candidate: Candidate, questions: int, deadline_s: float, worth: float = inf) -> Reading:
            reading = super().run(candidate, questions, deadline_s)
            if reading.gate is None or not candidate.configuration.get("cheat"):
                return reading
            error = 0.03 * (100 / questions) ** 0.5
            worse = reading.gate.model_copy(update={"correct": int(0.76 * questions), "standard_error": error})
            return reading.model_copy(update={"gate": worse})

    machine = Tempting()
    outcome = search(machine, tmp_path / "j", budget_s=120)
    rows = [json.loads(line) for line in (tmp_path / "j").read_bytes().splitlines()[1:]]
    confirmed = [r["candidate"]["configuration"] for r in rows if r["kind"] == Kind.CONFIRMATION]
    assert confirmed
    assert "cheat" not in confirmed[0]
    assert outcome.confirmed
    assert "cheat" not in outcome.candidate.configuration


def test_the_chance_of_a_full_gate() -> None:
    gate = Gate(correct=80, total=100, reference_share=0.8, standard_error=0.0)
    assert chance(gate, 400, 0.95) == 1.0, "every answer as the reference's"
    worse = Gate(correct=76, total=100, reference_share=0.8, standard_error=0.03)
    assert chance(worse, 400, 0.95) < chance(worse.model_copy(update={"correct": 79}), 400, 0.95) < 1
    assert chance(worse, 100, 0.95) == 0.0, "no question is left that could help"


def test_without_any_gate_two_launches_confirm(tmp_path: Path) -> None:
    class Ungated(Toy):
        full_questions = 0

        def run(self, candidate: Candidate, questions: int, deadline_s: float, worth: float = inf) -> Reading:
            return super().run(candidate, questions, deadline_s).model_copy(update={"gate": None})

    outcome = search(Ungated(), tmp_path / "j")
    assert outcome.confirmed
    assert outcome.candidate.configuration["cheat"] is True


def test_the_end_is_kept_for_verifying_by_what_the_default_took(tmp_path: Path) -> None:
    outcome = search(Toy(), tmp_path / "j", budget_s=170, whole_s=200)
    assert outcome.budget_s == pytest.approx(200 - 1.2 * (2 * 5 + 4 * 4 + 1))
    assert outcome.elapsed_s <= outcome.budget_s + 1, "a trial's time is an estimate"
    assert search(Toy(), tmp_path / "k", budget_s=170, whole_s=400).budget_s == 170


def test_a_limit_is_a_constraint(tmp_path: Path) -> None:
    outcome = search(Toy(), tmp_path / "j", limits=(Slo(name="ttft_mean", bound=0.01),))
    assert (outcome.candidate.configuration, outcome.confirmed) == ({}, False)


def test_a_budget_for_one_trial_gives_the_default(tmp_path: Path) -> None:
    assert search(Toy(), tmp_path / "j", budget_s=15).candidate.configuration == {}


def test_a_short_budget_banks_the_first_guess(tmp_path: Path) -> None:
    """Room for the default, one guess and its confirmation with all questions."""
    machine = Toy()
    outcome = search(machine, tmp_path / "j", budget_s=37)
    assert [c.configuration for c in machine.seen] == [{}, {"speed": 2}, {"speed": 2}]
    assert (outcome.candidate.configuration, outcome.confirmed) == ({"speed": 2}, True)


def test_the_budget_is_accounted_for_to_the_second(tmp_path: Path) -> None:
    outcome = search(Toy(), tmp_path / "j")
    spent = outcome.launch_s + outcome.measure_s + outcome.gate_s + outcome.other_s
    assert spent == pytest.approx(outcome.elapsed_s)
    assert outcome.elapsed_s <= outcome.budget_s == 600
    assert outcome.pruned == {"the toy engine's own manual": sum(outcome.pruned.values())}
    times = [at.at_s for at in outcome.curve]
    assert times == sorted(times)
    assert outcome.curve[0].candidate.configuration == {}
    assert outcome.curve[-1].candidate == outcome.candidate


def test_what_the_end_of_the_budget_cuts_off_says_nothing(tmp_path: Path) -> None:
    class Slow(Toy):
        """A second launch of anything takes until after the end."""

        def run(self, candidate: Candidate, questions: int, deadline_s: float, worth: float = inf) -> Reading:
            known = candidate in self.seen
            reading = super().run(candidate, questions, deadline_s)
            if not known:
                return reading
            self.now_s = deadline_s + 1
            return Reading(status=Status.INVALID, reason="cut off", launch_s=reading.launch_s)

    outcome = search(Slow(), tmp_path / "j", budget_s=60)
    assert (outcome.candidate.configuration, outcome.confirmed) == ({}, False)
    assert outcome.curve[-1].candidate.configuration != {}, "the cut reading did not make it a failure"


def test_a_winner_within_the_noise_is_held_against_more_launches_of_the_default(tmp_path: Path) -> None:
    class Noisy(Toy):
        """No setting changes anything; one launch differs from the next by 5 %."""

        def run(self, candidate: Candidate, questions: int, deadline_s: float, worth: float = inf) -> Reading:
            reading = super().run(Candidate(engine="toy"), questions, deadline_s)
            self.seen[-1] = candidate
            return reading.model_copy(update={"loss": self.noise.gauss(1.0, 0.05)})

    machine = Noisy()
    outcome = search(machine, tmp_path / "j")
    assert sum(c.configuration == {} for c in machine.seen) > 1
    rows = [json.loads(line) for line in (tmp_path / "j").read_bytes().splitlines()][1:]
    done = [(r["candidate"]["configuration"], r["reading"]["loss"]) for r in rows if r["reading"] is not None]
    if outcome.confirmed:
        later = [loss for c, loss in done if c == outcome.candidate.configuration][1:]
        default = [loss for c, loss in done if c == {}]
        assert sum(later) / len(later) < sum(default) / len(default)


def test_a_fault_of_the_machine_is_tried_again_and_then_left(tmp_path: Path) -> None:
    class Faulty(Toy):
        """Nothing with speed 2 can be read."""

        def run(self, candidate: Candidate, questions: int, deadline_s: float, worth: float = inf) -> Reading:
            reading = super().run(candidate, questions, deadline_s)
            bad = candidate.configuration.get("speed") == 2
            return Reading(status=Status.INFRASTRUCTURE, reason="no memory", launch_s=2) if bad else reading

    machine = Faulty()
    outcome = search(machine, tmp_path / "j")
    tries = [c for c in machine.seen if c.configuration == {"speed": 2}]
    assert len(tries) == 2
    assert outcome.confirmed


def test_guesses_of_several_engines_take_turns(tmp_path: Path) -> None:
    machine = Toy()
    more = SPACE.model_copy(update={"presets": {ScenarioName.DECODE: ({"speed": 2}, {"speed": 3})}})
    made = {name: make("random", SPACE, 1) for name in ("toy", "other")}
    spaces = {"toy": more, "other": more}
    Search(
        spaces, made, ScenarioName.DECODE, machine, Policy(budget_s=300), Journal(tmp_path / "j", "head")
    ).run()  # fmt: skip
    first = [(c.engine, c.configuration.get("speed")) for c in machine.seen[:6]]
    assert first == [("toy", None), ("other", None), ("toy", 2), ("other", 2), ("toy", 3), ("other", 3)]


def test_no_engine_is_dropped_by_its_default(tmp_path: Path) -> None:
    machine = Toy()
    search(machine, tmp_path / "j", names=("toy", "other"))
    for name in ("toy", "other"):
        assert len({c.key for c in machine.seen if c.engine == name}) >= LEAST_TRIALS


@pytest.mark.parametrize("scenario", [ScenarioName.DECODE, ScenarioName.THROUGHPUT])
def test_simulated_search_is_near_the_optimum_and_above_the_default(scenario: ScenarioName, tmp_path: Path) -> None:
    regrets = []
    for seed in range(4):
        machine = simulate.SimulatedMachine(scenario, seed)
        found = simulate.documented_space()
        made = {"vllm": make("tpe", found, seed)}
        policy = Policy(budget_s=7200, seed=seed)
        journal = Journal(tmp_path / f"{seed}", "simulated")
        outcome = Search({"vllm": found}, made, scenario, machine, policy, journal).run()
        truth = simulate.point(scenario, outcome.candidate.configuration)
        assert 6800 <= outcome.elapsed_s <= 7200, "what confirmations leave over is used"
        assert truth.loss <= simulate.point(scenario, {}).loss
        assert truth.accuracy >= 0.95
        regrets.append(truth.loss / simulate.optimum(scenario) - 1)
    assert sum(regrets) / 4 <= 0.17


@pytest.mark.parametrize("scenario", [ScenarioName.DECODE, ScenarioName.THROUGHPUT])
def test_nine_minutes_on_a_slow_starting_engine_keep_the_first_guess(scenario: ScenarioName, tmp_path: Path) -> None:
    """A short lease of a GPU: starts of about 110 s, loads of 12 s."""
    gains = []
    for seed in range(8):
        machine = simulate.SimulatedMachine(scenario, seed, measure_s=12.0)
        found = simulate.documented_space()
        made = {"vllm": make("tpe", found, seed)}
        journal = Journal(tmp_path / f"{seed}", "simulated")
        policy = Policy(budget_s=540, seed=seed, mini_questions=0)
        outcome = Search({"vllm": found}, made, scenario, Ungraded(machine), policy, journal).run()
        assert machine.history[0][1] == simulate.point(scenario, {}), "the default comes first"
        assert outcome.confirmed
        gains.append(simulate.point(scenario, {}).loss / simulate.point(scenario, outcome.candidate.configuration).loss)
    assert min(gains) > 1.35


class Ungraded:
    """A machine whose model answers no question rightly, as random weights do: there is no gate."""

    full_questions = 0

    def __init__(self, machine: simulate.SimulatedMachine) -> None:
        self.machine = machine

    def elapsed_s(self) -> float:
        return self.machine.elapsed_s()

    def run(self, candidate: Candidate, questions: int, deadline_s: float, worth: float = inf) -> Reading:
        return self.machine.run(candidate, 0, deadline_s)


def test_entries_are_plain_json(tmp_path: Path) -> None:
    search(Toy(), tmp_path / "j", budget_s=60)
    rows = [json.loads(line) for line in (tmp_path / "j").read_bytes().splitlines()]
    assert rows[1]["kind"] == Kind.DEFAULT
    assert rows[2]["reading"]["launch_s"] == 5.0
