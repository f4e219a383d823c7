"""What is Slurm's own, against a real Slurm: forgotten jobs, refusals, and a whole campaign."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from inferencebench.campaign.executors.contract import Life, Status
from inferencebench.campaign.executors.slurm import SlurmExecutor
from inferencebench.campaign.model import Placement
from inferencebench.errors import InfrastructureError, UserError
from tests.cluster.conftest import RUNNING, ended, order, wait_for


@pytest.fixture
def executor(slurm: Path, tmp_path: Path) -> SlurmExecutor:
    return SlurmExecutor(Placement(kind="slurm", options={"cpus": 1}), tmp_path / "slurm")


def test_the_controller_answers(executor: SlurmExecutor) -> None:
    probe = executor.probe()
    assert probe.ok, probe.detail
    assert executor.free() is None


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


def test_a_restarted_controller_keeps_its_jobs_and_is_waited_for(
    slurm: Path, executor: SlurmExecutor, tmp_path: Path
) -> None:
    handles = executor.place([order(tmp_path, "r", "import time; print('up', flush=True); time.sleep(6)")])
    wait_for(tmp_path / "r.log", "up")
    controller = next(process for process in RUNNING if process.args[0] == "slurmctld")  # type: ignore[index]
    controller.terminate()
    controller.wait(20)
    RUNNING.remove(controller)
    RUNNING.append(subprocess.Popen(["slurmctld", "-D"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    status = ended(executor, handles)["r"]
    assert (status.life, status.exit_code) == (Life.ENDED, 0)
    assert (tmp_path / "r.log").read_text().count("up") == 1


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
