"""What is returned after verifying launches, on a machine of the tests' own; and how a launch becomes a reading."""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inferencebench.cli.tune import _warnings
from inferencebench.errors import UserError
from inferencebench.load.dataset import Load
from inferencebench.search import live, report, tune
from inferencebench.search.agreement import Reference
from inferencebench.search.journal import Entry, Journal
from inferencebench.search.live import LiveMachine, Seen
from inferencebench.search.policy import Policy
from inferencebench.search.request import OBJECTIVES, Request
from inferencebench.search.slo import Slo
from inferencebench.search.trials import Candidate, Gate, Kind, Reading, Status
from inferencebench.search.tuned import closest
from inferencebench.search.verify import Verification, Verified

DEFAULT = Candidate(engine="toy")
FIRST, SECOND = (Candidate(engine="toy", configuration={"speed": n}) for n in (1, 2))
BOUND = Slo(name="ttft_mean", bound=1.0)


def _reading(agreement: float = 1.0, ttft_s: float = 0.5, status: Status = Status.OK) -> Reading:
    gate = Gate(correct=round(50 * agreement), total=50, reference_share=1.0, standard_error=0.02)
    return Reading(
        status=status, loss=0.1, metrics={"ttft_mean_s": ttft_s, "ttft_s": ttft_s, "requests_per_s": 1 / ttft_s},
        launch_s=5, measure_s=5, gate=gate,
    )  # fmt: skip


class Machine:
    """Every launch takes 15 s."""

    full_questions = 50

    def __init__(self, readings: Mapping[str, Reading]) -> None:
        self.readings, self.now_s = readings, 0.0
        self.launched: list[tuple[Candidate, int]] = []

    def elapsed_s(self) -> float:
        return self.now_s

    def launch(self, candidate: Candidate, questions: int, measure_s: float, deadline_s: float) -> Seen:
        assert isfinite(deadline_s)
        assert deadline_s <= max(100.0, self.now_s + 20)
        self.now_s += 15
        self.launched.append((candidate, questions))
        return Seen(self.readings[candidate.key], None)


def _verified(folder: Path, at_s: float = 0.0, **readings: Reading) -> tuple[Verified, Verified | None, Machine]:
    journal = Journal(folder / "j", "head")
    for number, candidate in enumerate((DEFAULT, FIRST, SECOND), 1):
        journal.add(Entry(number=number, kind=Kind.PRESET, candidate=candidate, at_s=0.0, reading=_reading()))
    named = {"default": DEFAULT, "first": FIRST, "second": SECOND}
    machine: Any = Machine({named[name].key: reading for name, reading in readings.items()})
    machine.now_s = at_s
    run = Verification(machine, journal, 5.0, 100.0, lambda text: None).run
    return *run([FIRST, SECOND], DEFAULT, [BOUND], 0.9), machine


def test_the_first_that_holds_is_returned_with_the_default_beside_it(tmp_path: Path) -> None:
    chosen, beside, machine = _verified(tmp_path, first=_reading(), default=_reading())
    assert chosen.candidate == FIRST
    assert beside is not None
    assert machine.launched == [(FIRST, 50), (DEFAULT, 0)]


@pytest.mark.parametrize("bad", [_reading(agreement=0.5), _reading(ttft_s=2), _reading(status=Status.CRASHED)])
def test_where_the_first_does_not_hold_the_next_is_launched(tmp_path: Path, bad: Reading) -> None:
    chosen, _, _ = _verified(tmp_path, first=bad, second=_reading(), default=_reading())
    assert chosen.candidate == SECOND


def test_where_no_choice_agrees_the_default_is_returned(tmp_path: Path) -> None:
    wrong = _reading(agreement=0.5)
    chosen, beside, _ = _verified(tmp_path, first=wrong, second=wrong, default=_reading())
    assert chosen.candidate == DEFAULT
    assert chosen == beside


def test_where_nothing_holds_the_closest_of_those_that_agree_is_returned(tmp_path: Path) -> None:
    far, near = _reading(ttft_s=9), _reading(ttft_s=1.1)
    wrong = _reading(agreement=0.5)
    assert _verified(tmp_path / "a", first=near, second=far, default=far)[0].candidate == FIRST
    assert _verified(tmp_path / "b", first=wrong, second=near, default=far)[0].candidate == SECOND


def test_without_time_for_another_launch_the_failing_one_does_not_hold(tmp_path: Path) -> None:
    chosen, beside, machine = _verified(tmp_path, first=_reading(agreement=0.5), at_s=80.0)
    assert (chosen.candidate, beside, len(machine.launched)) == (FIRST, None, 1)
    assert not chosen.agrees(0.9)


def test_a_fault_of_the_machine_is_launched_again(tmp_path: Path) -> None:
    fault = _reading(status=Status.INFRASTRUCTURE)
    _, _, machine = _verified(tmp_path, first=fault, second=_reading(), default=_reading())
    assert [candidate for candidate, _ in machine.launched] == [FIRST, FIRST, SECOND, DEFAULT]


def test_what_a_gate_refused_is_neither_closest_nor_on_the_front() -> None:
    fast = _reading(agreement=0.5, ttft_s=0.1)
    entries = [
        Entry(number=1, kind=Kind.DEFAULT, candidate=DEFAULT, at_s=1.0, reading=_reading(ttft_s=3)),
        Entry(number=2, kind=Kind.PRESET, candidate=FIRST, at_s=2.0, reading=fast),
        # Launched again without questions: it is refused all the same.
        Entry(number=3, kind=Kind.PRESET, candidate=FIRST, at_s=3.0, reading=fast.model_copy(update={"gate": None})),
    ]
    assert [entry.number for entry in report.pareto(entries, 0.9)] == [1]
    asked: Any = SimpleNamespace(agreement=0.9, slos=(BOUND,))
    assert closest(asked, SimpleNamespace(entries=entries)) == DEFAULT  # type: ignore[arg-type]


def test_replies_that_are_not_the_defaults_are_a_warning() -> None:
    result: Any = SimpleNamespace(
        meets_slo=False, slo=(), agrees=False, agreement=0.5, reason="", closest=None, agreement_shown=False,
        verified=None, verified_default=object(),
    )  # fmt: skip
    broken, few = _warnings(result)
    assert "50% of the greedy replies are the default's, fewer than --agreement asks" in broken
    assert "too few prompts" in few


@pytest.mark.parametrize(("repeated", "prompts", "shown"), [(20, 20, True), (19, 19, False), (10, 64, False)])
def test_how_many_prompts_show_agreement(repeated: int, prompts: int, shown: bool) -> None:
    names = {str(n): n < repeated for n in range(prompts)}
    assert Reference(texts=dict.fromkeys(names, ""), repeated=names).shows(0.9) is shown


def _machine(folder: Path, monkeypatch: pytest.MonkeyPatch, found: Any) -> LiveMachine:
    part = SimpleNamespace(offered=SimpleNamespace(name="load"), requests=())
    work = SimpleNamespace(warmup=(), parts=[part], request_timeout_s=9.0, count_tokens=None)
    subject: Any = SimpleNamespace(work=work, checks=(SimpleNamespace(id="a"),), metric=OBJECTIVES["tpot"][0])
    machine = LiveMachine(subject, folder, 1.0, Journal(folder / "j", "head"))
    monkeypatch.setattr(LiveMachine, "_run", lambda *_: None)
    monkeypatch.setattr(live.parse, "samples", lambda *_: None)
    monkeypatch.setattr(live, "record", lambda *_: found)
    monkeypatch.setattr(live, "write_json", lambda *_: None)
    monkeypatch.setattr(live, "LoadPlan", lambda *_, **__: None)
    monkeypatch.setattr(live, "speculation", lambda _: SimpleNamespace(_asdict=dict))
    return machine


@pytest.mark.parametrize(("lag_s", "status"), [(0.0, Status.INVALID), (9.0, Status.INFRASTRUCTURE)])
def test_a_load_that_cannot_be_read_is_followed_by_no_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lag_s: float, status: Status
) -> None:
    profile = SimpleNamespace(stamp_lag_s=SimpleNamespace(p99=lag_s), send_lag_s=None)
    figures = dict.fromkeys(f"{name}_s" for name in live.LATENCIES)
    found = SimpleNamespace(
        valid=False, invalid_reasons=("1 of 9",), profiles=(profile,), requests_per_s=1.0, output_tokens_per_s=1.0,
        balanced_score=None, **figures,
    )  # fmt: skip
    machine = _machine(tmp_path, monkeypatch, found)
    monkeypatch.setattr(LiveMachine, "_ask", lambda *_: pytest.fail("asked"))
    server: Any = None
    seen = machine._measured(server, DEFAULT, (9, 1.0), 1.0, 1.0, 1.0)
    assert seen.reading.status is status
    assert not machine.reference.texts


def test_a_default_that_never_repeats_itself_is_no_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _machine(tmp_path, monkeypatch, None)
    assert machine.full_questions == 1
    machine.reference = Reference(texts={"a": "x"}, repeated={"a": False})
    assert machine.full_questions == 0


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_no_sampler_takes_is_told(tmp_path: Path, seed: int) -> None:
    asked = Request(
        engines=("llamacpp",), model=tmp_path, requests=tmp_path, objective="tpot", slos=(), budget_s=9.0,
        load=Load("closed", None, 2, None, 10.0), seed=seed, out=tmp_path / "out",
    )  # fmt: skip
    with pytest.raises(UserError, match=f"--seed {seed}: expected a whole number from 0 to 4294967295"):
        tune.tune(asked)


def test_the_search_ends_early_enough_to_verify() -> None:
    """What is kept is 1.2 times two launches, four loads and a gate of the default's."""
    read = Reading(status=Status.OK, launch_s=30, measure_s=8, gate_s=10)
    policy = Policy(budget_s=0.85 * 600, whole_s=600)
    assert policy.end_s(None) == 510
    assert policy.end_s(read) == pytest.approx(600 - 1.2 * 102)
    assert Policy(budget_s=102, whole_s=120).end_s(read) == 1.0, "no time to search, and none below nothing"
    assert Policy(budget_s=102).end_s(read) == 102


def test_twenty_prompts_that_repeat_show_an_agreement_and_fewer_do_not() -> None:
    def repeats(count: int) -> Reference:
        return Reference(repeated={f"p{number}": True for number in range(count)})

    assert repeats(20).shows(0.9)
    assert not repeats(20).shows(0.95), "the bound of 20 equal replies is 0.918"
    assert not repeats(19).shows(0.9)
