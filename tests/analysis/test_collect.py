"""Records that cannot be read: each gets a line that says what is wrong with it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inferencebench.analysis.collect import collect
from inferencebench.cli.main import app
from inferencebench.errors import UserError
from inferencebench.run.spec import BASELINE_AGENT
from tests.run.stored import stored_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return stored_run(tmp_path, BASELINE_AGENT)


def wrong(text: str) -> str:
    return json.dumps({**json.loads(text), "speedup": "fast"})


def incomplete(text: str) -> str:
    return json.dumps({key: value for key, value in json.loads(text).items() if key != "metric"})


DAMAGE = {
    "empty": (lambda text: "", "empty"),
    "cut": (lambda text: text[:200], "cut off, not JSON"),
    "list": (lambda text: "[]", "not a JSON object"),
    "wrong": (wrong, "speedup: 'fast' is wrong; give a "),
    "incomplete": (incomplete, "metric: is missing"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_result_is_said_with_what_is_wrong(run: Path, kind: str) -> None:
    damage, said = DAMAGE[kind]
    path = run / "result.json"
    path.write_text(damage(path.read_text()))
    found = collect([run])
    assert found.results == []
    [line] = found.skipped
    assert line.startswith(f"{path}: skipped, {said}")
    with pytest.raises(UserError) as caught:
        CliRunner().invoke(app, ["audit", str(run)], catch_exceptions=False)
    assert f"no readable result ({said}" in str(caught.value)


def test_a_damaged_spec_is_said_with_what_is_wrong(run: Path) -> None:
    (run / "spec.json").write_text('{"suite": ')
    done = CliRunner().invoke(app, ["rescore", str(run)])
    assert "no readable spec.json (cut off, not JSON)" in done.stderr
