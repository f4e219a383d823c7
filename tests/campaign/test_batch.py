"""What a scheduler starts on a node: the wrapper around one order."""

import subprocess
import sys
from pathlib import Path

import pytest

from inferencebench.campaign.executors.batch import command, write_orders
from inferencebench.campaign.executors.contract import Order
from tests.campaign.test_driver import cache

__all__ = ["cache"]

SAYS = "import os; print(os.getcwd()); print(open('agent/solve.sh').read())"


@pytest.mark.usefixtures("cache")
def test_a_run_works_where_the_driver_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Schedulers start jobs elsewhere; `script:agent` and `suites/mine.toml` are relative to the driver's directory."""
    driver, node = tmp_path / "driver", tmp_path / "node"
    (driver / "agent").mkdir(parents=True)
    (driver / "agent" / "solve.sh").write_text("mine")
    node.mkdir()
    monkeypatch.chdir(driver)
    order = Order("t", (sys.executable, "-c", SAYS), 0, 60.0, tmp_path / "t.log", {})
    write_orders(tmp_path / "o.json", [order], cpus=1)
    subprocess.run(command(tmp_path / "o.json", 0), cwd=node, check=True)
    assert (tmp_path / "t.log").read_text().split() == [str(driver), "mine"]


@pytest.mark.usefixtures("cache")
def test_a_node_that_does_not_see_the_driver_s_directory_runs_what_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    order = Order("t", (sys.executable, "-c", "print('up')"), 0, 60.0, tmp_path / "t.log", {})
    write_orders(tmp_path / "o.json", [order], cpus=1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").rmdir()
    subprocess.run(command(tmp_path / "o.json", 0), check=True)
    assert "up" in (tmp_path / "t.log").read_text()
