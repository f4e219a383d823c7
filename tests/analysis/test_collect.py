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


NOTHING = {
    "results": ["results", "DIR"],
    "tables": ["tables", "main", "DIR"],
    "site": ["site", "DIR", "-o", "OUT"],
    "atif": ["export", "atif", "DIR", "-o", "OUT"],
    "inspect": ["export", "inspect", "DIR", "-o", "OUT"],
}


@pytest.mark.parametrize("verb", NOTHING)
def test_nothing_found_is_bad_input(tmp_path: Path, verb: str) -> None:
    (tmp_path / "empty").mkdir()
    names = {"DIR": str(tmp_path / "empty"), "OUT": str(tmp_path / "out")}
    with pytest.raises(UserError, match="empty: no finished run there; name what --out named"):
        CliRunner().invoke(app, [names.get(word, word) for word in NOTHING[verb]], catch_exceptions=False)
    assert not (tmp_path / "out").exists()


def test_a_site_shows_what_is_under_way(tmp_path: Path, run: Path) -> None:
    (run / "result.json").unlink()
    done = CliRunner().invoke(app, ["site", str(tmp_path), "-o", str(tmp_path / "site")])
    assert done.exit_code == 0, done.exception


def test_a_table_of_no_run_names_what_there_is(tmp_path: Path, run: Path) -> None:
    wrong_ones = {
        "--suite=laptp": "--suite: no run has laptp; there are laptop-mini",
        "--condition=x": "--condition: no run has x; there are default",
        "--seed-pair=1,2": "--seed-pair: no run has 1-2; there are 21-1337",
    }
    for option, said in wrong_ones.items():
        with pytest.raises(UserError) as caught:
            CliRunner().invoke(app, ["tables", "main", str(run), option], catch_exceptions=False)
        assert str(caught.value) == said
    both = ["--suite=laptop-mini", "--condition=all", "--seed-pair=21,1337"]
    assert CliRunner().invoke(app, ["tables", "main", str(run), *both], catch_exceptions=False).exit_code == 0
    assert CliRunner().invoke(app, ["tables", "parameters", "--suite=laptop"], catch_exceptions=False).exit_code == 0
