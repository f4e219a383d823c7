"""The executor contract over every executor: this machine, and a real Slurm, Ray and HTCondor."""

import json
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import psutil
import pytest

from inferencebench.campaign.executors.contract import Executor, Life
from inferencebench.campaign.executors.htcondor import HTCondorExecutor
from inferencebench.campaign.executors.local import LocalExecutor
from inferencebench.campaign.executors.ray import RayExecutor
from inferencebench.campaign.executors.slurm import SlurmExecutor
from inferencebench.campaign.model import Placement
from tests.cluster.conftest import ended, order, wait_for
from tests.cluster.htcondor_pool import SMALL

TOLD = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *a: (print('told', flush=True), sys.exit(130)));"
    "print('up', flush=True); time.sleep(60)"
)

NODES = ("SLURMD_NODENAME", "RAY_NODE_ID", "CUDA_VISIBLE_DEVICES")
"""Variables of a run that tell its node."""


@pytest.fixture(params=["local", "slurm", "ray", "htcondor"])
def executor(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Executor]:
    made: Executor
    if request.param == "slurm":
        request.getfixturevalue("slurm")
        made = SlurmExecutor(Placement(kind="slurm", options={"cpus": 1}), tmp_path / "slurm")
    elif request.param == "ray":
        address = request.getfixturevalue("ray_cluster").address
        made = RayExecutor(Placement(kind="ray", options={"address": address, "cpus": 1}), tmp_path / "ray")
    elif request.param == "htcondor":
        request.getfixturevalue("htcondor")
        made = HTCondorExecutor(Placement(kind="htcondor", options=SMALL), tmp_path / "htcondor")
    else:
        monkeypatch.setenv("INFERENCEBENCH_CACHE", str(tmp_path / "cache"))
        made = LocalExecutor(2)
    yield made
    made.close()


def test_it_answers(executor: Executor) -> None:
    probe = executor.probe()
    assert probe.ok, probe.detail


def test_each_order_ends_with_its_own_code_and_log(executor: Executor, tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['IB_TEST']); sys.exit({})"
    todo = [order(tmp_path, f"t{n}", code.format(n)) for n in (0, 2, 3)]
    found = {}
    while todo:
        handles = executor.place(todo)
        todo = [one for one in todo if one.task not in handles]
        found.update(ended(executor, handles))
        again = executor.poll(list(handles.values()))
        assert all(again[handle].exit_code == found[task].exit_code for task, handle in handles.items()), "asked twice"
    assert {task: status.exit_code for task, status in found.items()} == {"t0": 0, "t2": 2, "t3": 3}
    assert {status.life for status in found.values()} == {Life.ENDED}
    assert (tmp_path / "t3.log").read_text() == "t3\n"


def test_a_device_has_one_run_at_a_time(executor: Executor, tmp_path: Path) -> None:
    if executor.name == "local":
        pytest.skip("no GPU here; its CPU slots are tested beside the driver")
    code = (
        "import json, os, time; a = time.time(); time.sleep(1.0); e = os.environ;"
        f"print(json.dumps([next(e[n] for n in {NODES} if n in e), a, time.time()]))"
    )
    handles = executor.place([order(tmp_path, f"d{n}", code, devices=1) for n in range(6)])
    assert all(status.exit_code == 0 for status in ended(executor, handles).values())
    spans = [json.loads((tmp_path / f"d{n}.log").read_text()) for n in range(6)]
    assert len({span[0] for span in spans}) == 2
    for a, b in combinations(spans, 2):
        assert a[0] != b[0] or a[2] <= b[1] or b[2] <= a[1], (a, b)


def test_cancelled_runs_are_told_first(executor: Executor, tmp_path: Path) -> None:
    handles = executor.place([order(tmp_path, "c", TOLD)])
    wait_for(tmp_path / "c.log", "up")
    assert executor.poll(list(handles.values()))[handles["c"]].life is Life.RUNNING
    executor.cancel(list(handles.values()))
    assert ended(executor, handles)["c"].exit_code in (None, 130)
    assert "told" in (tmp_path / "c.log").read_text()


def test_an_unknown_placement_is_lost_not_ended(executor: Executor, tmp_path: Path) -> None:
    none = f"{tmp_path}/none.json"
    handle = {"local": "999999@1.00", "slurm": f"98765_0:{none}", "ray": f"no:0:{none}", "htcondor": f"98765.0:{none}"}
    mine = handle[executor.name]
    assert executor.poll([mine])[mine].life is Life.LOST


def test_a_run_dies_with_what_held_its_device(executor: Executor, tmp_path: Path) -> None:
    """`kill -9` of the wrapper or of Ray's worker leaves no run behind; the placement ends without an exit code."""
    if executor.name == "local":
        pytest.skip("a killed driver is tested beside the driver")
    handles = executor.place([order(tmp_path, "k", TOLD)])
    wait_for(tmp_path / "k.log", "up")
    executor.poll(list(handles.values()))
    run = next(p for p in psutil.process_iter(["cmdline"]) if TOLD in (p.info["cmdline"] or []))
    wrapper = run.parents()[0]
    (wrapper.parents()[0] if executor.name == "ray" else wrapper).kill()
    wait_for(tmp_path / "k.log", "told")
    status = ended(executor, handles)["k"]
    assert status.exit_code not in (0, 2), status


def test_the_time_limit_ends_a_run_as_infrastructure(executor: Executor, tmp_path: Path) -> None:
    if executor.name == "slurm":
        pytest.skip("Slurm's own limit takes minutes: it is in test_slurm.py")
    handles = executor.place([order(tmp_path, "l", TOLD, limit_s=2.0)])
    started = time.monotonic()
    status = ended(executor, handles)["l"]
    assert (status.life, status.exit_code, status.reason) == (Life.ENDED, None, "TIMEOUT")
    assert time.monotonic() - started < 30
    assert "told" in (tmp_path / "l.log").read_text()
