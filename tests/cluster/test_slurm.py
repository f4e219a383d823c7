"""The Slurm executor against a real Slurm: exit codes, devices, cancelling, forgotten jobs, and a whole campaign."""

import json
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path

import pytest

from inferencebench.campaign.executors.contract import Life, Order, Status
from inferencebench.campaign.executors.slurm import SlurmExecutor
from inferencebench.campaign.model import Placement
from inferencebench.errors import InfrastructureError, UserError

TIMEOUT_S = 60.0


@pytest.fixture
def executor(slurm: Path, tmp_path: Path) -> SlurmExecutor:
    return SlurmExecutor(Placement(kind="slurm", options={"cpus": 1}), tmp_path / "slurm")


def order(folder: Path, name: str, code: str, devices: int = 0) -> Order:
    return Order(name, (sys.executable, "-c", code), devices, 120.0, folder / f"{name}.log", {"IB_TEST": name})


def ended(executor: SlurmExecutor, handles: dict[str, str]) -> dict[str, Status]:
    """The end of every placement."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        found = executor.poll(list(handles.values()))
        if all(status.life in (Life.ENDED, Life.LOST) for status in found.values()):
            return {task: found[handle] for task, handle in handles.items()}
        time.sleep(0.5)
    raise AssertionError(f"still there: {executor.poll(list(handles.values()))}")


def test_the_controller_answers(executor: SlurmExecutor) -> None:
    probe = executor.probe()
    assert probe.ok, probe.detail
    assert executor.free() is None


def test_each_order_ends_with_its_own_code_and_log(executor: SlurmExecutor, tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['IB_TEST']); sys.exit({})"
    handles = executor.place([order(tmp_path, f"t{n}", code.format(n)) for n in (0, 2, 3)])
    found = ended(executor, handles)
    assert {task: status.exit_code for task, status in found.items()} == {"t0": 0, "t2": 2, "t3": 3}
    assert {status.where for status in found.values()} <= {"n1", "n2"}
    assert (tmp_path / "t3.log").read_text() == "t3\n"


def test_a_device_has_one_run_at_a_time(executor: SlurmExecutor, tmp_path: Path) -> None:
    code = (
        "import json, os, time; a = time.time(); time.sleep(1.0);"
        "print(json.dumps([os.environ['SLURMD_NODENAME'], a, time.time()]))"
    )
    handles = executor.place([order(tmp_path, f"d{n}", code, devices=1) for n in range(6)])
    assert all(status.exit_code == 0 for status in ended(executor, handles).values())
    spans = [json.loads((tmp_path / f"d{n}.log").read_text()) for n in range(6)]
    assert {span[0] for span in spans} == {"n1", "n2"}
    for a, b in combinations(spans, 2):
        assert a[0] != b[0] or a[2] <= b[1] or b[2] <= a[1], (a, b)


def test_cancelled_runs_are_told_and_give_no_exit_code(executor: SlurmExecutor, tmp_path: Path) -> None:
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *a: (print('told', flush=True), sys.exit(0)));"
        "print('up', flush=True); time.sleep(60)"
    )
    handles = executor.place([order(tmp_path, "c", code)])
    log = tmp_path / "c.log"
    deadline = time.monotonic() + TIMEOUT_S
    while not (log.exists() and "up" in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.2)
    executor.cancel(list(handles.values()))
    status = ended(executor, handles)["c"]
    assert (status.exit_code, status.reason.split()[0]) == (None, "CANCELLED")
    assert "told" in log.read_text()


def test_what_slurm_has_forgotten_is_known_by_its_exit_file(executor: SlurmExecutor, tmp_path: Path) -> None:
    handles = executor.place([order(tmp_path, "f", "raise SystemExit(4)")])
    ended(executor, handles)
    job, _, file = handles["f"].partition(":")
    forgotten = f"99{job}:{file}"
    assert executor.poll([forgotten])[forgotten] == Status(Life.ENDED, 4, "exit code 4")
    lost = f"98{job}:{tmp_path}/none.json"
    assert executor.poll([lost])[lost].life is Life.LOST


def test_a_refused_job_says_what_slurm_says(slurm: Path, tmp_path: Path) -> None:
    wrong = SlurmExecutor(Placement(kind="slurm", options={"partition": "nowhere", "cpus": 1}), tmp_path / "slurm")
    with pytest.raises(InfrastructureError, match="partition"):
        wrong.place([order(tmp_path, "x", "pass")])
    with pytest.raises(UserError, match="queue: not an option"):
        SlurmExecutor(Placement(kind="slurm", options={"queue": "x"}), tmp_path)


def test_a_campaign_of_real_runs_gives_the_local_ones_outcomes(slurm: Path, tmp_path: Path) -> None:
    tiny = Path(__file__).parents[1] / "e2e" / "tiny.toml"
    outcomes = {}
    for kind, options in (("local", ""), ("slurm", '[executor.options]\ngres = "gpu:1"\ncpus = 1\n')):
        file, out = tmp_path / f"{kind}.toml", tmp_path / kind
        file.write_text(
            f'name = "{kind}"\n[matrix]\nsuites = ["{tiny}"]\nscenarios = ["decode"]\nagents = ["engine:llamacpp"]\n'
            f'seed_pairs = [{{ dev = 21, eval = 1337 }}]\n[executor]\nkind = "{kind}"\n{options}'
        )
        argv = [sys.executable, "-m", "inferencebench", "campaign", "run", str(file), "--out", str(out), "--json"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        rows = json.loads(done.stdout)["tasks"]
        outcomes[kind] = sorted((row["directory"], row["outcome"], row["attempts"]) for row in rows)
    assert outcomes["local"] == outcomes["slurm"]
    assert [row[1] for row in outcomes["slurm"]] == ["passed", "passed"]
