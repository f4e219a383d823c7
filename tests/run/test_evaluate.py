"""Mid-run evaluations with scripted launches: what our own client spoilt is measured once more, on the same clock."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inferencebench.load.metrics import measurement
from inferencebench.load.model import Measurement, Samples
from inferencebench.run import evaluate
from inferencebench.run.evaluate import Evaluator
from inferencebench.run.record import Evaluation
from inferencebench.suites.load import load
from tests.run.records import request_sample

TINY = Path(__file__).parents[1] / "e2e" / "tiny.toml"
LAUNCH_S = 30.0
"""What a launch and its measurement take of the session."""


@dataclass
class HandClock:
    """Goes on only when told to."""

    budget_s: float
    elapsed_s: float = 0.0

    @property
    def remaining_s(self) -> float:
        return self.budget_s - self.elapsed_s


def measured(**changes: object) -> Measurement:
    """Three requests of the tiny suite's decode scenario."""
    requests = [request_sample(n).model_copy(update=changes) for n in range(3)]
    return measurement({"burst": Samples(requests, [])}, 0.98, forced_length=True)


GOOD = measured()
LATE = measured(due_s=0.0, sent_s=0.2)
SHORT = measured(counted_tokens=2)
FAILED = measured(due_s=0.0, sent_s=0.2, ok=False, error="http 500")


class Desk:
    """An evaluator, and what its launches show one after the other."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        (folder / "submission").mkdir()
        (folder / "submission" / "start_server.sh").write_text("exec true\n")
        suite = load(str(TINY))
        self.launches = 0
        self.clock = HandClock(600.0)
        decode = next(s for s in suite.scenarios if s.name == "decode")
        spec: Any = SimpleNamespace(suite=suite, the_scenario=decode)
        bench: Any = SimpleNamespace(suite=suite)
        places: Any = (None, folder / "submission", folder / "evaluations")
        self.evaluator = Evaluator(spec, bench, *places, self.clock, ((), ()), None)  # type: ignore[arg-type]
        self._patch = patch

    def evaluate(self, *found: Measurement) -> Evaluation:
        self._patch.setattr(evaluate, "relaunched", self._relaunched)
        self._patch.setattr(evaluate, "measure_speed", lambda *_: found[self.launches - 1])
        self._patch.setattr(evaluate, "ask", lambda *_: [SimpleNamespace(correct=True)])
        self.evaluator.reserve()
        return self.evaluator.run(quick=True, say=lambda _: None)

    @contextmanager
    def _relaunched(self, *_: object, **__: object) -> Iterator[Any]:
        self.launches += 1
        yield SimpleNamespace(server=None, ready_s=1.0)
        self.clock.elapsed_s += LAUNCH_S


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_what_our_client_spoilt_is_measured_once_more_and_both_are_paid_for(desk: Desk) -> None:
    found = desk.evaluate(LATE, GOOD)
    assert (found.ok, found.error, found.value) == (True, None, GOOD.tpot_s)
    assert (desk.launches, found.seconds) == (2, 2 * LAUNCH_S)
    assert desk.evaluator.records == [found]


def test_a_client_that_is_late_twice_is_told(desk: Desk) -> None:
    found = desk.evaluate(LATE, LATE)
    assert (desk.launches, found.ok, found.valid) == (2, False, False)
    assert "schedule slipped" in (found.error or "")


@pytest.mark.parametrize("found", [GOOD, SHORT, FAILED], ids=["good", "short", "failed"])
def test_the_submissions_own_result_stands(desk: Desk, found: Measurement) -> None:
    assert desk.evaluate(found).ok is found.valid
    assert desk.launches == 1


def test_there_is_no_second_attempt_without_the_time_for_it(desk: Desk) -> None:
    desk.clock.budget_s = 2 * LAUNCH_S
    found = desk.evaluate(LATE)
    assert (desk.launches, found.ok, found.seconds) == (1, False, LAUNCH_S)
