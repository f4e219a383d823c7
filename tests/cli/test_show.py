"""What is printed about one run, with names that rich would take for markup."""

from pathlib import Path

import pytest

from inferencebench.analysis.leaderboard import board
from inferencebench.cli.demo import _where_time_went
from inferencebench.cli.show import show_board, show_result
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
