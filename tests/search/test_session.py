"""Trials through a session: what is asked, how long is waited, and what a killed session leaves to the next."""

import json
from collections.abc import Callable
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inferencebench.agents.search import Options, SearchAgent
from inferencebench.errors import UserError
from inferencebench.gates.quality import Answer
from inferencebench.load.model import Measurement
from inferencebench.load.speculation import Speculation
from inferencebench.run.clock import Clock
from inferencebench.run.trial import TrialPlan, TrialResult
from inferencebench.search import journal as journals
from inferencebench.search.gate import surely_above
from inferencebench.search.journal import Entry, Journal
from inferencebench.search.session import SessionMachine
from inferencebench.search.trials import Candidate, Kind, Status
from inferencebench.serve.server import ServerFailed
from inferencebench.suites.model import Metric

DEFAULT = Candidate(engine="llamacpp")
OTHER = Candidate(engine="llamacpp", configuration={"spec": "ngram-mod"})


class FakeEvaluator:
    """Answers trials without a server; keeps the plans."""

    questions = 40

    def __init__(self, folder: Path, right: int = 20, per_s: float = inf) -> None:
        self.folder, self.right, self.per_s = folder, right, per_s
        self.plans: list[TrialPlan] = []
        self.numbers: list[int] = []
        self.bench = SimpleNamespace(engine_home=folder / "home")
        self.records: list[int] = []
        self.fail: Callable[[], None] = lambda: None
        self.spoilt: dict[str, object] = {}

    def trial(self, number: int, plan: TrialPlan) -> TrialResult:
        self.plans.append(plan)
        self.numbers.append(number)
        self.records.append(number)
        self.fail()
        answers = tuple(
            Answer.model_construct(question_id=f"q{n}", correct=n % 2 == 0 and n < 2 * self.right)
            for n in range(min(plan.questions, round(min(self.per_s * (plan.ask_s or inf), 1e6))))
        )
        measured = Measurement.model_construct(
            valid=True,
            invalid_reasons=(),
            ttft_s=0.1,
            tpot_s=0.02,
            requests_per_s=1.0,
            balanced_score=None,
            profiles=(),
        ).model_copy(update=self.spoilt)
        return TrialResult(measured, answers, 5.0, 40.0, 10.0, Speculation(0.25, 1.5))

    def keep(self, path: Path) -> None:
        path.write_text(json.dumps(self.records))

    def recall(self, path: Path) -> None:
        self.records = json.loads(path.read_text())


def made(folder: Path, evaluator: FakeEvaluator) -> tuple[SessionMachine, Journal]:
    kept = Journal(folder / "search-journal.jsonl", "head")
    (folder / "workspace" / "submission").mkdir(parents=True, exist_ok=True)
    session: Any = SimpleNamespace(
        clock=Clock(600.0), workspace=folder / "workspace", scenario=SimpleNamespace(metric=Metric.TPOT)
    )
    return SessionMachine(lambda c: f"exec {c.key}", session, evaluator, kept, folder), kept  # type: ignore[arg-type]


def test_the_default_answers_everything_and_sets_the_pace(tmp_path: Path) -> None:
    evaluator = FakeEvaluator(tmp_path)
    machine, kept = made(tmp_path, evaluator)
    reading = machine.run(DEFAULT, 10, 600.0)
    assert (reading.status, reading.loss) == (Status.OK, 0.02)
    assert (reading.metrics["repetition_share"], reading.metrics["tokens_per_step"]) == (0.25, 1.5)
    assert reading.gate is not None
    assert reading.gate.ratio == 1.0
    plan = evaluator.plans[0]
    assert plan.questions == 40
    assert plan.patience_s > 590, "the first default is given what time there is: it says how long this load takes"
    kept.add(Entry(number=1, kind=Kind.DEFAULT, candidate=DEFAULT, at_s=55.0, reading=reading))
    machine.run(OTHER, 10, 600.0)
    assert evaluator.plans[1].questions == 10
    assert evaluator.plans[1].patience_s == 80.0, "twice the longest load that worked"
    assert evaluator.plans[1].home == tmp_path / "home"
    assert (tmp_path / "workspace/submission/start_server.sh").read_text() == f"exec {OTHER.key}"


def test_a_slow_default_answers_what_its_share_of_the_budget_holds(tmp_path: Path) -> None:
    evaluator = FakeEvaluator(tmp_path, per_s=0.4)
    machine, _ = made(tmp_path, evaluator)
    assert machine.full_questions == 40
    machine.run(DEFAULT, 10, 600.0)
    assert evaluator.plans[0].ask_s == 72.0
    assert machine.full_questions == 29, "as many are a full gate"
    gate = machine.run(OTHER, 40, 600.0).gate
    assert gate is not None
    assert gate.total == 29
    assert not surely_above(gate, 0.95), "equal as the answers are, they are too few"
    assert evaluator.plans[1].ask_s is None, "patience ends it, the share does not"


def test_a_handful_of_answers_is_no_gate(tmp_path: Path) -> None:
    machine, _ = made(tmp_path, FakeEvaluator(tmp_path, per_s=0.2))
    machine.run(DEFAULT, 10, 600.0)
    assert machine.full_questions == 0, "14 were answered"


@pytest.mark.parametrize("right", [0, 2])
def test_a_default_that_is_right_by_chance_at_most_is_no_reference(tmp_path: Path, right: int) -> None:
    evaluator = FakeEvaluator(tmp_path, right=right)
    machine, _ = made(tmp_path, evaluator)
    assert machine.run(DEFAULT, 10, 600.0).gate is None
    assert machine.full_questions == 0
    assert machine.run(OTHER, 10, 600.0).gate is None
    assert [plan.questions for plan in evaluator.plans] == [40, 0]


def test_a_killed_session_leaves_reference_evaluations_caches_and_spent_time(tmp_path: Path) -> None:
    evaluator = FakeEvaluator(tmp_path)
    machine, kept = made(tmp_path, evaluator)
    reading = machine.run(DEFAULT, 10, 600.0)
    kept.add(Entry(number=1, kind=Kind.DEFAULT, candidate=DEFAULT, at_s=55.0, reading=reading))
    kept.add(Entry(number=2, kind=Kind.PRESET, candidate=OTHER, at_s=56.0))
    with (tmp_path / "search-journal.jsonl").open("ab") as file:
        file.write(b'{"torn')
    solve = tmp_path / "solve"
    assert SearchAgent("tpe?engine=llamacpp").spent_s(solve) == 56.0
    assert journals.spent_s(tmp_path / "none") == 0.0
    fresh = FakeEvaluator(tmp_path)
    again, _ = made(tmp_path, fresh)
    gate = again.run(OTHER, 10, 600.0).gate
    assert gate is not None
    assert (gate.total, gate.reference_share) == (10, 0.5), "the first session's reference"
    assert (fresh.numbers, fresh.records) == ([2], [1, 2])


def test_a_client_that_starves_is_the_machines_fault(tmp_path: Path) -> None:
    evaluator = FakeEvaluator(tmp_path)
    machine, _ = made(tmp_path, evaluator)
    late = SimpleNamespace(stamp_lag_s=SimpleNamespace(p99=9.0), send_lag_s=None)
    evaluator.spoilt = {"valid": False, "invalid_reasons": ("client starved",), "profiles": (late,)}
    assert machine.run(DEFAULT, 10, 600.0).status is Status.INFRASTRUCTURE
    evaluator.spoilt = {"valid": False, "invalid_reasons": ("success rate 1/9",)}
    assert machine.run(DEFAULT, 10, 600.0).status is Status.INVALID
    evaluator.spoilt = {}
    assert machine.run(DEFAULT, 10, 600.0).gate is not None, "the first that can be read is the reference"


def test_a_server_that_fails_is_a_crash(tmp_path: Path) -> None:
    evaluator = FakeEvaluator(tmp_path)
    machine, _ = made(tmp_path, evaluator)

    def fail() -> None:
        raise ServerFailed("it is ready but answers no request of the warm-up", "", None)

    evaluator.fail = fail
    reading = machine.run(DEFAULT, 10, 600.0)
    assert reading.status is Status.CRASHED
    assert "answers no request" in reading.reason
    assert evaluator.records == [1], "kept all the same"


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("tpe?engine=vllm&what=1", "there are engine, seed and mode"),
        ("tpe?mode=theirs", "mode 'theirs': expected one of ours, paper"),
        ("gp?mode=paper", "sampler 'gp': expected one of random, tpe, smac"),
        ("tpe?engine=vllm,tgi&mode=paper", "searches one engine"),
        ("tpe?seed=x", "seed 'x'"),
        ("tpe?seed=²", "seed '²': expected a whole number from 0 to 4294967295"),
        ("tpe?seed=4294967296", "seed '4294967296'"),
    ],
)
def test_wrong_names_are_told(rest: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Options.read(rest)


def test_the_published_protocol_is_another_agent_on_the_published_space() -> None:
    ours, theirs = SearchAgent("tpe?engine=vllm"), SearchAgent("tpe?engine=vllm&mode=paper")
    assert ours.sha256 != theirs.sha256
    launcher = theirs.launcher(Candidate(engine="vllm", configuration={"block_size": 32}))
    assert "--block-size 32" in launcher
    with pytest.raises(UserError, match="no published space for engine 'llamacpp'"):
        SearchAgent("tpe?engine=llamacpp&mode=paper")
