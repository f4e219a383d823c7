"""Rescoring a campaign in which some runs are damaged."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inferencebench.cli.main import app
from inferencebench.errors import UserError
from inferencebench.run.record import ServerFailure
from inferencebench.run.spec import BASELINE_AGENT
from inferencebench.suites.model import ScenarioName
from tests.run.stored import stored_run


def failed_run(out: Path, scenario: ScenarioName) -> Path:
    """The directory of a whole run whose server did not come up."""
    return stored_run(out, BASELINE_AGENT, scenario=scenario, failure=ServerFailure(reason="server did not come up"))


@pytest.mark.parametrize("damaged", ["measure/measured.json", "solve/session.json", "prepare/eval.jsonl", "spec.json"])
def test_a_damaged_run_is_said_and_the_rest_is_judged(tmp_path: Path, damaged: str) -> None:
    torn, whole = failed_run(tmp_path, ScenarioName.DECODE), failed_run(tmp_path, ScenarioName.PREFILL)
    (torn / damaged).write_text("{")
    done = CliRunner().invoke(app, ["rescore", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.exception
    assert [r["scenario"] for r in json.loads(done.stdout)] == ["prefill"]
    assert f"{torn}: skipped, " in done.stderr
    assert damaged in done.stderr
    assert str(whole) not in done.stderr


def test_a_missing_stamp_is_damage_too(tmp_path: Path) -> None:
    (failed_run(tmp_path, ScenarioName.DECODE) / "solve" / "phase.json").unlink()
    failed_run(tmp_path, ScenarioName.PREFILL)
    done = CliRunner().invoke(app, ["rescore", str(tmp_path)])
    assert done.exit_code == 0, done.exception
    assert "no stamp of a finished phase" in done.stderr
    assert "prefill" in done.stdout


def test_nothing_judged_is_bad_input(tmp_path: Path) -> None:
    (failed_run(tmp_path, ScenarioName.DECODE) / "measure" / "measured.json").unlink()
    done = CliRunner().invoke(app, ["rescore", str(tmp_path)])
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == f"{tmp_path}: no run there could be judged"
