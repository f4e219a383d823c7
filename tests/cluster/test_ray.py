"""What is Ray's own, against a real Ray: a lost node, a driver that was killed, a local cluster."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from inferencebench.campaign.executors.contract import Life
from inferencebench.campaign.executors.ray import ANSWER_S, RayExecutor
from inferencebench.campaign.model import Placement
from inferencebench.errors import UserError
from tests.cluster.conftest import NODE, ended, order, wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def executor(ray_cluster: Any, tmp_path: Path) -> RayExecutor:
    return RayExecutor(Placement(kind="ray", options={"address": ray_cluster.address, "cpus": 1}), tmp_path / "ray")


def test_a_lost_node_is_infrastructure_and_nothing_is_repeated_by_ray(
    executor: RayExecutor, ray_cluster: Any, tmp_path: Path
) -> None:
    node = ray_cluster.add_node(**{**NODE, "resources": {"doomed": 1}, "num_gpus": 0})
    doomed = RayExecutor(
        Placement(kind="ray", options={"address": ray_cluster.address, "resource": "doomed"}), tmp_path / "doomed"
    )
    handles = doomed.place([order(tmp_path, "n", "import time; print('up', flush=True); time.sleep(60)")])
    wait_for(tmp_path / "n.log", "up")
    assert doomed.poll(list(handles.values()))[handles["n"]].life is Life.RUNNING
    ray_cluster.remove_node(node, allow_graceful=False)
    status = ended(doomed, handles)["n"]
    assert status.exit_code not in (0, 2)
    time.sleep(3)
    assert (tmp_path / "n.log").read_text().count("up") == 1


def test_placements_outlive_their_driver_and_are_found_again(
    executor: RayExecutor, ray_cluster: Any, tmp_path: Path
) -> None:
    code = (
        "import os, sys; from pathlib import Path; from tests.cluster.conftest import order;"
        "from inferencebench.campaign.executors.ray import RayExecutor;"
        "from inferencebench.campaign.model import Placement;"
        "place = Placement(kind='ray', options={'address': sys.argv[2]});"
        "run = order(Path(sys.argv[1]), 'o', 'import time; time.sleep(4); raise SystemExit(5)');"
        "print(RayExecutor(place, Path(sys.argv[1]) / 'ray').place([run])['o'], flush=True);"
        "import time; time.sleep(2); os.kill(os.getpid(), 9)"
    )
    argv = [sys.executable, "-c", code, str(tmp_path), ray_cluster.address]
    first = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert first.returncode == -9, first.stderr
    handle = first.stdout.strip()
    assert executor.lost({"o", "w"}) == {"o": handle}, "also when nobody wrote it down"
    assert executor.poll([handle])[handle].life is not Life.LOST
    assert ended(executor, {"o": handle})["o"].exit_code == 5


def test_what_finds_no_place_waits_and_can_be_withdrawn(executor: RayExecutor, tmp_path: Path) -> None:
    handles = executor.place([order(tmp_path, "w", "pass", devices=9)])
    time.sleep(1)
    assert executor.poll(list(handles.values()))[handles["w"]].life is Life.QUEUED
    assert executor.lost({"w"}) == handles
    executor.cancel(list(handles.values()))
    assert ended(executor, handles)["w"].life is Life.LOST
    assert executor.lost({"w"}) == {}
    assert not (tmp_path / "w.log").exists()


def test_cancelling_many_that_wait_takes_as_long_as_one(executor: RayExecutor, tmp_path: Path) -> None:
    handles = executor.place([order(tmp_path, f"w{n}", "pass", devices=9) for n in range(6)])
    handles |= executor.place([order(tmp_path, "r", "import time; print('up', flush=True); time.sleep(60)")])
    wait_for(tmp_path / "r.log", "up")
    began = time.monotonic()
    executor.cancel(list(handles.values()))
    assert time.monotonic() - began < 2 * ANSWER_S
    ends = ended(executor, handles)
    assert [ends[f"w{n}"].life for n in range(6)] == [Life.LOST] * 6
    assert ends["r"].exit_code == -15


def test_options_and_absent_clusters_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="queue: not an option"):
        RayExecutor(Placement(kind="ray", options={"queue": "x"}), tmp_path)


def test_a_local_cluster_is_started_where_there_is_none(tmp_path: Path) -> None:
    """In a process of its own: one process has one Ray."""
    code = (
        "import sys; from pathlib import Path; from tests.cluster.conftest import ended, order;"
        "from inferencebench.campaign.executors.ray import RayExecutor;"
        "from inferencebench.campaign.model import Placement; folder = Path(sys.argv[1]);"
        "it = RayExecutor(Placement(kind='ray', options={'address': 'local'}), folder / 'ray'); print(it.probe());"
        "print(ended(it, it.place([order(folder, 'a', 'raise SystemExit(7)')]))); it.close()"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert "exit_code=7" in done.stdout, done.stdout + done.stderr
    assert "ok=True" in done.stdout


LOCAL = """
import os, sys, time
from pathlib import Path
from inferencebench.campaign.executors.ray import RayExecutor
from inferencebench.campaign.model import Placement
from tests.cluster.conftest import ended, order, wait_for
folder, how = Path(sys.argv[1]), sys.argv[2]
it = RayExecutor(Placement(kind="ray", slots=2, options={"address": "local", "cpus": 1}), folder / "ray")
if how == "again":
    print(*(status.life for status in it.poll(sys.argv[3:]).values()))
else:
    told = "import signal, sys; signal.signal(signal.SIGTERM, lambda *a: (print('told', flush=True), sys.exit(130)));"
    sleeps = f"{told} print('up', flush=True); import time; time.sleep(60)"
    handles = it.place([order(folder, "s", sleeps), order(folder, "e", "raise SystemExit(4)")])
    print(*handles.values(), flush=True)
    wait_for(folder / "s.log", "up")
    ended(it, {"e": handles["e"]})
    if how == "killed":
        os.kill(os.getpid(), 9)
    it.close()
    found = it.poll(list(handles.values()))
    print(it.detached, *(status.life for status in found.values()), found[handles["e"]].exit_code, flush=True)
"""


def local(folder: Path, *arguments: str) -> list[list[str]]:
    """Words of the lines that a process with a Ray of its own says."""
    argv = [sys.executable, "-c", LOCAL, str(folder), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert lines, done.stderr
    return lines


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_runs_on_a_local_cluster_are_lost_with_their_driver(tmp_path: Path, how: str) -> None:
    """What the run says when it is told to end is no end of its own; what had ended before keeps its end."""
    handles, *said = local(tmp_path, how)
    assert said == ([["False", "lost", "ended", "4"]] if how == "closed" else [])
    wait_for(tmp_path / "s.log", "told")
    time.sleep(1)  # its wrapper may live to write the exit code down
    assert local(tmp_path, "again", *handles) == [["lost", "ended"]]
