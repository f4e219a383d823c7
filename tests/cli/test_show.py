"""What is printed about one run, with names that rich would take for markup."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inferencebench.analysis.leaderboard import board
from inferencebench.cli.demo import _where_time_went
from inferencebench.cli.main import app
from inferencebench.cli.measure_show import sweep_table
from inferencebench.cli.show import show_board, show_result
from inferencebench.errors import UserError
from inferencebench.load.sweep import SweepRecord
from inferencebench.run.record import Outcome
from tests.analysis.published_runs import SUITE, Fake, quality, write
from tests.run.records import result

NAMES = ["script:a[/]", "[bold]a", "a\\"]


@pytest.mark.parametrize("name", NAMES)
def test_one_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = result(agent=name).model_copy(update={"suite": f"s{name}", "reason": f"because {name}"})
    show_result(run, Path(name))
    shown = capsys.readouterr().out
    assert f"{name} on s{name} / decode: passed" in shown
    assert f"because {name}" in shown
    assert f"record: {name}" in shown


@pytest.mark.parametrize("name", NAMES)
def test_tables(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = result(agent=name).model_copy(update={"suite": f"s{name}", "condition": f"start={name}"})
    show_board(board([run]))
    _where_time_went([run])
    shown = capsys.readouterr().out
    assert f"s{name}: speedup" in shown
    assert f"{name} (start={name})" in shown
    assert f"decode {name}" in shown


def test_the_board_says_which_rows_have_other_seed_pairs_and_that_quality_is_not_judged(tmp_path: Path) -> None:
    unjudged = {"quality": quality(0, Outcome.PASSED).model_copy(update={"agreement": 0.01, "passed": True})}
    write(tmp_path, [Fake("engine:vllm", "B", seed, 1.0 + seed, extra=unjudged) for seed in (0, 1)])
    write(tmp_path, [Fake("search:tpe?engine=vllm", "B", 0, 3.0, extra=unjudged)])
    seeds = (
        "of the seed pairs 21-1337, 248-428, search:tpe?engine=vllm has 21-1337 only: compare by --seed-pair 21,1337"
    )
    judged = f"quality is not judged in {SUITE} (random weights)"
    shown = CliRunner().invoke(app, ["results", str(tmp_path)]).stdout
    assert shown.endswith(f"* {seeds}\n* {judged}\n")
    assert json.loads(CliRunner().invoke(app, ["results", str(tmp_path), "--json"]).stdout)["notes"] == {
        SUITE: [seeds, judged]
    }

    shared = CliRunner().invoke(app, ["results", str(tmp_path), "--seed-pair", "21,1337", "--json"])
    printed = json.loads(shared.stdout)
    assert {cell["agent"]: cell["speedup_mean"] for cell in printed["cells"]} == {
        "engine:vllm": 1.0,
        "search:tpe?engine=vllm": 3.0,
    }
    assert printed["notes"] == {SUITE: [judged]}

    unknown = CliRunner().invoke(app, ["results", str(tmp_path), "--seed-pair", "1,2"])
    assert isinstance(unknown.exception, UserError)
    assert "no run has 1-2; there are 21-1337, 248-428" in str(unknown.exception)


def test_every_latency_of_a_sweep_has_its_unit() -> None:
    empty = SweepRecord(
        url="u", model="m", source="s", over="concurrency", points=(), loads=(), power=(), knee=None, knee_reached=False
    )
    headers = [str(column.header) for column in sweep_table(empty).columns]
    assert headers[3:7] == ["TTFT p50, ms", "TTFT p99, ms", "TPOT p50, ms", "TPOT p99, ms"]
