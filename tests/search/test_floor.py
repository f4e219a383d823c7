"""The default's floor and the gate stand, whatever happens to a launch."""

from math import inf
from pathlib import Path

import pytest

from inferencebench.search.gate import accepts, can_show, paired, surely_above
from inferencebench.search.policy import Policy
from inferencebench.search.standings import Standings
from inferencebench.search.trials import Candidate, Reading, Status
from tests.search.toy import Toy, search


@pytest.mark.parametrize(("questions", "shown"), [(29, False), (60, True), (140, True)])
def test_equal_answers_show_what_their_number_can(questions: int, shown: bool) -> None:
    same = {f"q{n}": n % 10 < 7 for n in range(questions)}
    gate = paired(same, same)
    assert gate is not None
    assert gate.standard_error == pytest.approx(1 / sum(same.values()))
    assert can_show(gate, 0.95) is surely_above(gate, 0.95) is accepts(gate, 0.95) is shown
    assert accepts(gate, 0.95, unproven=True)
    assert not accepts(gate.model_copy(update={"correct": 0}), 0.95, unproven=True)


def test_where_there_is_a_gate_nothing_is_confirmed_without_meeting_it(tmp_path: Path) -> None:
    class Silent(Toy):
        """Nobody answers, though there are questions."""

        def run(self, candidate: Candidate, questions: int, deadline_s: float, worth: float = inf) -> Reading:
            return super().run(candidate, questions, deadline_s).model_copy(update={"gate": None})

    outcome = search(Silent(), tmp_path / "j")
    assert (outcome.candidate.configuration, outcome.confirmed) == ({}, False)


@pytest.mark.parametrize("status", [Status.INVALID, Status.CRASHED, Status.INFRASTRUCTURE])
def test_a_default_that_cannot_be_read_is_tried_once_more(status: Status, tmp_path: Path) -> None:
    class Once(Toy):
        """The first launch of the default fails."""

        def run(self, candidate: Candidate, questions: int, deadline_s: float, worth: float = inf) -> Reading:
            reading = super().run(candidate, questions, deadline_s)
            return Reading(status=status, reason="slipped", launch_s=9) if len(self.seen) == 1 else reading

    machine = Once(worse=True)
    outcome = search(machine, tmp_path / "j")
    assert [c.configuration for c in machine.seen[:3]] == [{}, {}, {"speed": 2}]
    assert outcome.candidate.configuration == {}, "its floor holds"
    assert outcome.loss is not None


def test_a_later_launch_of_the_default_that_fails_does_not_take_the_floor_away() -> None:
    standings = Standings(Toy(), Policy(budget_s=600))
    default = Candidate(engine="toy")
    standings.add(default, Reading(status=Status.OK, loss=1.0))
    standings.add(default, Reading(status=Status.CRASHED))
    assert (standings.default(), standings.losses(default.key)) == (default, [1.0])


def test_another_engines_default_meets_the_gate(tmp_path: Path) -> None:
    class Wrong(Toy):
        """The second engine is twice as fast, and wrong at its default."""

        def run(self, candidate: Candidate, questions: int, deadline_s: float, worth: float = inf) -> Reading:
            reading = super().run(candidate, questions, deadline_s)
            if candidate.engine == "toy" or reading.loss is None or reading.gate is None:
                return reading
            gate = reading.gate.model_copy(update={"correct": reading.gate.total // 2})
            return reading.model_copy(update={"loss": reading.loss / 2, "gate": gate})

    outcome = search(Wrong(), tmp_path / "j", names=("toy", "other"))
    assert outcome.candidate.engine == "toy"
    good = search(Toy(worse=True), tmp_path / "k", names=("toy", "other"))
    assert good.candidate.configuration == {}


def test_too_few_questions_prove_nothing(tmp_path: Path) -> None:
    class Few(Toy):
        """A full gate of 30, all answered as by the default."""

        full_questions = 30

        def run(self, candidate: Candidate, questions: int, deadline_s: float, worth: float = inf) -> Reading:
            reading = super().run(candidate, questions, deadline_s)
            same = {f"q{n}": n % 5 != 0 for n in range(questions)}
            right = not candidate.configuration.get("cheat")
            return reading.model_copy(update={"gate": paired({q: s and right for q, s in same.items()}, same)})

    strict = search(Few(), tmp_path / "j")
    assert (strict.candidate.configuration, strict.confirmed) == ({}, False)
    assert "too few questions rightly" in strict.reason
    lenient = search(Few(), tmp_path / "k", unproven=True)
    assert lenient.candidate.configuration == {"speed": 5}
