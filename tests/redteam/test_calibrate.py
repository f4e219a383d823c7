"""From finished runs of the zoo to thresholds, and what they mean for a run."""

from pathlib import Path

import pytest

from inferencebench.errors import UserError
from inferencebench.files import write_json, write_jsonl
from inferencebench.gates.integrity import calibration as cal
from inferencebench.gates.quality import Answer
from inferencebench.redteam import calibrate as tool
from inferencebench.redteam.model import Fixture, load
from inferencebench.run import baseline as baselines
from inferencebench.run.spec import Condition, RunSpec
from inferencebench.suites.load import load as load_suite
from inferencebench.suites.model import Suite

QUESTIONS, MISTAKES = 200, 60


@pytest.fixture
def suite() -> Suite:
    return load_suite("laptop-mini")


def spec_of(suite: Suite, agent: str) -> RunSpec:
    return RunSpec.create(
        suite, scenario="decode", agent=agent, agent_sha256="", condition=Condition(),
        seed_pair=suite.seed_pairs[0], sandbox="bubblewrap",
    )  # fmt: skip


def answers(same: int) -> list[dict[str, object]]:
    """The reference errs on the first questions; this one errs alike on the first `same` of them."""
    rows = []
    for number in range(QUESTIONS):
        parsed = "right" if number >= MISTAKES else "wrong" if number < same else f"other {number}"
        row = Answer(question_id=f"q{number}", text=parsed, error=None, parsed=parsed, correct=parsed == "right")
        rows.append(row.model_dump(mode="json"))
    return rows


def finished(out: Path, suite: Suite, fixture: Fixture, nats: float, same: int) -> RunSpec:
    """A run of a fixture with these numbers in its result."""
    spec = spec_of(suite, f"zoo:{fixture.name}")
    numbers = {"deficit_nats": nats, "standard_error_nats": 0.05, "tokens": 300}
    checks = [{"name": name, "numbers": numbers} for name in tool.CHECKS]
    write_json(spec.directory(out) / "result.json", {"integrity": {"checks": checks}})
    write_jsonl(spec.directory(out) / baselines.ANSWERS_FILE, answers(same))
    return spec


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cal, "FOLDER", tmp_path / "calibrations")
    return tmp_path


def test_thresholds_lie_between_the_worst_control_and_the_best_impostor(folder: Path, suite: Suite) -> None:
    zoo = {"kv_q8": (0.10, 57), "llamacpp_f16": (0.02, 60), "small_model": (2.1, 12), "layer_drop": (3.0, 20)}
    fixtures = [load(name) for name in zoo]
    specs = [finished(folder, suite, f, *zoo[f.name]) for f in fixtures]
    write_jsonl(baselines.spec_of(specs[0], "").directory(folder) / baselines.ANSWERS_FILE, answers(MISTAKES))
    found = tool.calibrate(suite, fixtures, folder, specs)
    assert found.margins == cal.Threshold(review=0.25, fail=1.1)  # (0.10 + 0.15 + 2.1 - 0.15) / 2
    assert found.wrong.fail is not None
    assert 0.1 < found.wrong.review < found.wrong.fail < 0.6
    assert found.note() == ""
    cal.calibration_of.cache_clear()
    assert cal.calibration_of(suite.model.id) == found
    cal.calibration_of.cache_clear()


def test_sides_that_are_too_close_only_review(folder: Path, suite: Suite) -> None:
    zoo = {"kv_q8": (0.10, 57), "small_model": (0.3, 50)}
    fixtures = [load(name) for name in zoo]
    specs = [finished(folder, suite, f, *zoo[f.name]) for f in fixtures]
    write_jsonl(baselines.spec_of(specs[0], "").directory(folder) / baselines.ANSWERS_FILE, answers(MISTAKES))
    found = tool.calibrate(suite, fixtures, folder, specs)
    assert (found.margins.fail, found.opening.fail, found.wrong.fail) == (None, None, None)
    assert "only review" in found.note()


def test_a_zoo_without_runs_is_bad_input(folder: Path, suite: Suite) -> None:
    fixture = load("kv_q8")
    with pytest.raises(UserError, match="run `inferencebench audit --zoo laptop-mini` there first"):
        tool.calibrate(suite, [fixture], folder, [spec_of(suite, "zoo:kv_q8")])


def test_the_shipped_calibration_can_fail_what_it_was_made_for() -> None:
    found = cal.calibration_of("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert found.margins.fail is not None
    assert found.opening.fail is not None
    assert found.provenance["suite"] == "laptop"
    assert len({s.fixture for s in found.seen["margins"] if s.kind == "honest"}) >= 6
