"""What a killed search knows when it goes on."""

from pathlib import Path

import pytest

from inferencebench.errors import UserError
from inferencebench.search.journal import Entry, Journal
from inferencebench.search.policy import Policy
from inferencebench.search.protocol import Search
from inferencebench.search.samplers import Sampler, make
from inferencebench.search.trials import Candidate, Gate, Kind, Reading, Status
from inferencebench.suites.model import ScenarioName
from tests.search.toy import SPACE, Toy, search


def test_a_killed_search_goes_on_with_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with pytest.raises(KeyboardInterrupt):
        search(Toy(die_after=4), path)
    with path.open("ab") as file:
        file.write(b'{"torn')
    journal = Journal(path, "head")
    assert len(journal.entries) == 4
    assert journal.pending is not None
    again = Toy(spent_s=journal.spent_s)
    outcome = search(again, path)
    assert again.seen[0] == journal.pending.candidate, "what was running is tried again first"
    assert {} not in [dict(c.configuration) for c in again.seen], "what is known is not measured again"
    assert outcome.elapsed_s <= 600
    with pytest.raises(UserError, match="belongs to another search"):
        Journal(path, "another")


def _entry(number: int, kind: Kind, configuration: dict[str, int], reading: Reading | None = None) -> Entry:
    candidate = Candidate(engine="toy", configuration=configuration)
    return Entry(number=number, kind=kind, candidate=candidate, at_s=10.0 * number, reading=reading)


def _ok(loss: float) -> Reading:
    gate = Gate(correct=80, total=100, reference_share=0.8, standard_error=0.01)
    return Reading(status=Status.OK, loss=loss, launch_s=5, measure_s=4, gate_s=1, gate=gate)


def test_a_confirmation_that_was_cut_off_is_run_again_with_the_full_gate(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", "head")
    journal.add(_entry(1, Kind.DEFAULT, {}, _ok(1.0)))
    journal.add(_entry(2, Kind.PRESET, {"speed": 2}, _ok(0.8)))
    journal.add(_entry(3, Kind.CONFIRMATION, {"speed": 2}))
    machine = Toy(spent_s=30.0)
    search(machine, tmp_path / "j")
    assert machine.asked[0] == (Candidate(engine="toy", configuration={"speed": 2}).key, machine.full_questions)


def test_what_takes_the_harness_down_twice_is_a_crash(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", "head")
    journal.add(_entry(1, Kind.DEFAULT, {}, _ok(1.0)))
    for _ in range(2):
        journal.add(_entry(2, Kind.PROPOSED, {"speed": 3}))
    machine = Toy(spent_s=30.0)
    search(machine, tmp_path / "j")
    assert Candidate(engine="toy", configuration={"speed": 3}) not in machine.seen
    found = Journal(tmp_path / "j", "head").entries[1]
    assert found.reading is not None
    assert (found.reading.status, found.candidate.configuration) == (Status.CRASHED, {"speed": 3})


def test_a_trial_that_was_tried_twice_counts_once_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal(path, "head")
    journal.add(_entry(1, Kind.DEFAULT, {}, Reading(status=Status.INVALID)))
    journal.add(_entry(1, Kind.DEFAULT, {}, _ok(1.0)))
    journal.add(_entry(3, Kind.PRESET, {"speed": 2}, _ok(0.8)))
    for _ in range(2):
        journal.add(_entry(4, Kind.CONFIRMATION, {"speed": 2}, Reading(status=Status.INFRASTRUCTURE)))
    made: dict[str, Sampler] = {"toy": make("random", SPACE, 1)}
    again = Search({"toy": SPACE}, made, ScenarioName.DECODE, Toy(), Policy(budget_s=600), Journal(path, "head"))
    assert list(again._faults.values()) == [1]
    assert again.standings.reference == Candidate(engine="toy")
    assert again.standings.violation(Candidate(engine="toy").key) == 0


@pytest.mark.parametrize("left", [b"", b'{"he'])
def test_a_kill_before_the_head_was_written_leaves_a_new_journal(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "j").write_bytes(left)
    Journal(tmp_path / "j", "head").add(_entry(1, Kind.DEFAULT, {}, _ok(1.0)))
    assert len(Journal(tmp_path / "j", "head").entries) == 1


def test_patience_is_that_of_before_the_kill_and_grows_with_the_questions(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", "head")
    assert journal.patience_s(2.0, 100) == 8
    gate = Gate(correct=10, total=14, reference_share=1.0, standard_error=0.1)
    journal.add(_entry(1, Kind.DEFAULT, {}, _ok(1.0).model_copy(update={"gate_s": 7.0, "gate": gate})))
    journal.add(_entry(2, Kind.PRESET, {"speed": 2}, Reading(status=Status.CRASHED, measure_s=90)))
    again = Journal(tmp_path / "j", "head")
    assert again.patience_s(2.0, 0) == 14, "twice the longest"
    assert again.patience_s(2.0, 100) == pytest.approx(100), "twice half a second each"


def test_a_default_that_was_to_be_tried_once_more_is_read_anew(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", "head")
    journal.add(_entry(1, Kind.DEFAULT, {}, Reading(status=Status.INVALID)))
    journal.add(_entry(1, Kind.DEFAULT, {}))
    made: dict[str, Sampler] = {"toy": make("random", SPACE, 1)}
    again = Search(
        {"toy": SPACE}, made, ScenarioName.DECODE, Toy(), Policy(budget_s=600), Journal(tmp_path / "j", "head")
    )
    again.run()
    assert again.standings.readings[Candidate(engine="toy").key][0].status is Status.OK
