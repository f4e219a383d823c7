"""What is Slurm's own, against a real Slurm: forgotten jobs, refusals, restarts, lost nodes, time limits."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from inferencebench.campaign.cancel import cancel
from inferencebench.campaign.executors.contract import Life, Status
from inferencebench.campaign.executors.slurm import SlurmExecutor
from inferencebench.campaign.journal import Journal
from inferencebench.campaign.model import Placement
from inferencebench.errors import InfrastructureError, UserError
from tests.campaign.test_driver import begun_log, the_plan
from tests.cluster.conftest import RUNNING, ended, lose, order, start_node, wait_for, wait_nodes


@pytest.fixture
def executor(slurm: Path, tmp_path: Path) -> SlurmExecutor:
    return SlurmExecutor(Placement(kind="slurm", options={"cpus": 1}), tmp_path / "slurm")


@pytest.fixture(scope="module")
def late(slurm: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[SlurmExecutor, str, Path]:
    """A job with a limit of a minute that does not end when it is told; placed first, since that takes a while."""
    folder = tmp_path_factory.mktemp("late")
    executor = SlurmExecutor(Placement(kind="slurm", options={"cpus": 1}), folder / "slurm")
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, lambda *a: print('told', flush=True))\n"
        "while True: time.sleep(1)"
    )
    handle = executor.place([order(folder, "t", code, limit_s=60.0)])["t"]
    return executor, handle, folder / "t.log"


@pytest.mark.usefixtures("late")
def test_the_controller_answers(executor: SlurmExecutor) -> None:
    probe = executor.probe()
    assert probe.ok, probe.detail
    assert executor.free() is None


def test_what_slurm_has_forgotten_is_known_by_its_exit_file(executor: SlurmExecutor, tmp_path: Path) -> None:
    handles = executor.place([order(tmp_path, "f", "raise SystemExit(4)")])
    ended(executor, handles)
    job, _, file = handles["f"].partition(":")
    forgotten = f"99{job}:{file}"
    status = executor.poll([forgotten])[forgotten]
    assert status == Status(Life.ENDED, 4, "exit code 4", ran_s=status.ran_s)
    assert status.ran_s is not None
    lost = f"98{job}:{tmp_path}/none.json"
    assert executor.poll([lost])[lost].life is Life.LOST


def test_a_job_does_not_get_the_driver_s_keys(
    executor: SlurmExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    monkeypatch.setenv("INFERENCEBENCH_CACHE", str(tmp_path / "cache"))
    code = (
        "import os; print(os.environ.get('ANTHROPIC_API_KEY'), os.environ['INFERENCEBENCH_CACHE'], os.environ['PATH'])"
    )
    handles = executor.place([order(tmp_path, "e", code)])
    assert ended(executor, handles)["e"].exit_code == 0
    assert (tmp_path / "e.log").read_text().split()[:2] == ["None", str(tmp_path / "cache")]


def test_a_refused_job_says_what_slurm_says(slurm: Path, tmp_path: Path) -> None:
    wrong = SlurmExecutor(Placement(kind="slurm", options={"partition": "nowhere", "cpus": 1}), tmp_path / "slurm")
    with pytest.raises(InfrastructureError, match="partition"):
        wrong.place([order(tmp_path, "x", "pass")])
    with pytest.raises(UserError, match="queue: not an option"):
        SlurmExecutor(Placement(kind="slurm", options={"queue": "x"}), tmp_path)


def test_jobs_that_nobody_wrote_down_are_found_in_the_queue(executor: SlurmExecutor, tmp_path: Path) -> None:
    """As when the driver is killed between sbatch's answer and its own log."""
    todo = [order(tmp_path, f"n{n}", "import time; print('up', flush=True); time.sleep(3)") for n in range(3)]
    lost = executor.place(todo)
    again = SlurmExecutor(Placement(kind="slurm", options={"cpus": 1}), tmp_path / "slurm")
    assert again.lost({"n0", "n1", "n2", "n3"}) == lost
    assert {status.exit_code for status in ended(again, lost).values()} == {0}
    assert [(tmp_path / f"n{n}.log").read_text().count("up") for n in range(3)] == [1, 1, 1]


def test_cancel_ends_jobs_that_nobody_wrote_down(executor: SlurmExecutor, tmp_path: Path) -> None:
    todo = the_plan()
    handles = executor.place([order(tmp_path, task.id, "import time; time.sleep(60)") for task in todo.tasks])
    until(executor, handles[todo.tasks[0].id], lambda status: status.life is Life.RUNNING)
    begun_log(tmp_path).append("started", "")
    again = SlurmExecutor(Placement(kind="slurm", options={"cpus": 1}), tmp_path / "slurm")
    assert cancel(todo, tmp_path, again, 60) == (len(handles), ())
    assert {status.life for status in executor.poll(list(handles.values())).values()} == {Life.ENDED}
    histories = Journal(tmp_path).histories()
    assert {(histories[task].placed, histories[task].handle) for task in handles} == {(1, None)}


def test_a_controller_that_is_away_is_no_refusal(slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = (slurm / "slurm.conf").read_text()
    port = next(line for line in config.splitlines() if line.startswith("SlurmctldPort="))
    (tmp_path / "slurm.conf").write_text(config.replace(port, "SlurmctldPort=1") + "MessageTimeout=2\n")
    (tmp_path / "gres.conf").write_text((slurm / "gres.conf").read_text())
    (tmp_path / "cgroup.conf").write_text((slurm / "cgroup.conf").read_text())
    away = SlurmExecutor(Placement(kind="slurm", options={"cpus": 1}), tmp_path / "slurm")
    away._limit = 1001  # as of a driver that placed its baseline before
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    with pytest.raises(OSError, match="sbatch: "):
        away.place([order(tmp_path, "x", "pass")])


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


UP = "import os, time; print('up', os.environ['SLURMD_NODENAME'], flush=True); time.sleep({})"


def until(executor: SlurmExecutor, handle: str, ready: Callable[[Status], bool]) -> Status:
    deadline = time.monotonic() + 90
    while not ready(status := executor.poll([handle])[handle]):
        assert time.monotonic() < deadline, status
        time.sleep(0.3)
    return status


def test_a_requeued_job_begins_again_and_is_told_apart(executor: SlurmExecutor, tmp_path: Path) -> None:
    handle = executor.place([order(tmp_path, "q", UP.format(4))])["q"]
    wait_for(tmp_path / "q.log", "up")
    assert until(executor, handle, lambda status: status.life is Life.RUNNING).restarts == 0
    subprocess.run(["scontrol", "requeue", handle.partition(":")[0]], check=True)
    assert until(executor, handle, lambda status: status.restarts == 1).life in (Life.QUEUED, Life.RUNNING)
    status = until(executor, handle, lambda status: status.life is Life.ENDED)
    assert (status.exit_code, status.restarts) == (0, 1)
    assert (tmp_path / "q.log").read_text().count("up") == 2


def test_a_lost_node_s_job_is_begun_again_elsewhere(executor: SlurmExecutor, tmp_path: Path) -> None:
    handle = executor.place([order(tmp_path, "l", UP.format(20), devices=1)])["l"]
    wait_for(tmp_path / "l.log", "up")
    node = (tmp_path / "l.log").read_text().split()[1]
    until(executor, handle, lambda status: status.life is Life.RUNNING)
    lose(node)
    wait_nodes("1 down", 60)
    RUNNING.append(start_node(node))
    status = until(executor, handle, lambda status: status.life is Life.ENDED)
    assert (status.exit_code, status.restarts) == (0, 1)
    assert (tmp_path / "l.log").read_text().count("up") == 2


def test_the_time_limit_warns_then_kills_and_says_so(late: tuple[SlurmExecutor, str, Path]) -> None:
    """Slurm counts whole minutes, and warns one before: a run that does not listen is killed after one and a half."""
    executor, handle, log = late
    wait_for(log, "told")
    status = until(executor, handle, lambda status: status.life is Life.ENDED)
    assert status.exit_code is None
    assert status.reason.startswith("TIMEOUT")
