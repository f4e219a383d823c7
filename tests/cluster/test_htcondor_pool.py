"""What is HTCondor's own, against a real pool: evictions, lost nodes, holds, a queue that dies, refusals, lost jobs."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from inferencebench.campaign.executors.contract import Life, Status
from inferencebench.campaign.executors.htcondor import HTCondorExecutor
from inferencebench.campaign.model import Placement
from inferencebench.errors import InfrastructureError
from tests.cluster.conftest import ended, order, wait_for
from tests.cluster.htcondor_pool import SMALL, Pool

SHORT_LEASE = {**SMALL, "extra": ["job_lease_duration = 20"]}
"""HTCondor waits for a lost node as long as the lease of its job."""
UP = "import time; print('up', flush=True); time.sleep({})"


def made(folder: Path, **options: str | int | float | bool | list[str]) -> HTCondorExecutor:
    return HTCondorExecutor(Placement(kind="htcondor", options={**SHORT_LEASE, **options}), folder / "htcondor")


@pytest.fixture
def executor(htcondor: Pool, tmp_path: Path) -> HTCondorExecutor:
    return made(tmp_path)


def until(executor: HTCondorExecutor, handle: str, ready: Callable[[Status], bool]) -> Status:
    deadline = time.monotonic() + 120
    while not ready(status := executor.poll([handle])[handle]):
        assert time.monotonic() < deadline, status
        time.sleep(0.3)
    return status


def begun(executor: HTCondorExecutor, tmp_path: Path, seconds: int) -> tuple[str, str]:
    """A run that is at work: its handle, and where."""
    handle = executor.place([order(tmp_path, "r", UP.format(seconds), devices=1)])["r"]
    wait_for(tmp_path / "r.log", "up")
    return handle, until(executor, handle, lambda status: status.life is Life.RUNNING).where


def is_gone(handle: str) -> bool:
    done = subprocess.run(["condor_q", handle.partition(":")[0], "-af", "JobStatus"], capture_output=True, text=True)
    return done.returncode == 0 and not done.stdout.strip()


def check_ended_once(executor: HTCondorExecutor, handle: str, log: Path, reason: str) -> None:
    """An infrastructure failure; HTCondor keeps nothing of it and began it once."""
    status = until(executor, handle, lambda status: status.life is Life.ENDED)
    assert status.exit_code is None
    assert reason in status.reason
    deadline = time.monotonic() + 60
    while not is_gone(handle):
        executor.poll([handle])
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert log.read_text().count("up") == 1


def test_an_evicted_job_is_not_begun_again(executor: HTCondorExecutor, tmp_path: Path) -> None:
    handle, _ = begun(executor, tmp_path, 60)
    subprocess.run(["condor_vacate_job", handle.partition(":")[0]], check=True, capture_output=True)
    check_ended_once(executor, handle, tmp_path / "r.log", "EVICTED")


def test_a_lost_node_s_job_is_an_infrastructure_failure(
    htcondor: Pool, executor: HTCondorExecutor, tmp_path: Path
) -> None:
    handle, where = begun(executor, tmp_path, 60)
    htcondor.lose(where.split("@")[1])
    check_ended_once(executor, handle, tmp_path / "r.log", "EVICTED")
    htcondor.wait_nodes({"n1", "n2"})


def test_a_held_job_says_why_and_leaves_the_queue(executor: HTCondorExecutor, tmp_path: Path) -> None:
    handle, _ = begun(executor, tmp_path, 60)
    job = handle.partition(":")[0]
    subprocess.run(["condor_hold", "-reason", "maintenance", job], check=True, capture_output=True)
    check_ended_once(executor, handle, tmp_path / "r.log", "HELD (maintenance")


def test_a_queue_that_is_killed_keeps_its_jobs(htcondor: Pool, executor: HTCondorExecutor, tmp_path: Path) -> None:
    handle, _ = begun(executor, tmp_path, 10)
    htcondor.restart_schedd()
    deadline = time.monotonic() + 120
    while True:
        assert time.monotonic() < deadline
        try:
            status = executor.poll([handle])[handle]
        except OSError:  # away: nothing is said of its jobs
            continue
        if status.life is Life.ENDED:
            break
        time.sleep(0.3)
    assert (status.exit_code, status.restarts) == (0, 0)
    assert (tmp_path / "r.log").read_text().count("up") == 1


def test_jobs_that_nobody_wrote_down_are_found_in_the_queue(executor: HTCondorExecutor, tmp_path: Path) -> None:
    todo = [order(tmp_path, f"n{n}", UP.format(3)) for n in range(3)]
    handles = executor.place(todo)
    assert made(tmp_path).lost({"n0", "n1", "n2", "n3"}) == handles
    assert made(tmp_path / "another").lost({"n0"}) == {}
    assert {status.exit_code for status in ended(executor, handles).values()} == {0}
    assert made(tmp_path).lost({"n0", "n1", "n2"}) == {}


def test_a_job_does_not_get_the_driver_s_keys(
    executor: HTCondorExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    monkeypatch.setenv("INFERENCEBENCH_CACHE", str(tmp_path / "cache"))
    code = "import os; print(os.environ.get('ANTHROPIC_API_KEY'), os.environ['INFERENCEBENCH_CACHE'])"
    assert ended(executor, executor.place([order(tmp_path, "e", code)]))["e"].exit_code == 0
    assert (tmp_path / "e.log").read_text().split() == ["None", str(tmp_path / "cache")]


def test_a_user_s_requirements_are_kept(htcondor: Pool, tmp_path: Path) -> None:
    executor = made(tmp_path, requirements='regexp("n2@", Name) || Memory < 0')
    _, where = begun(executor, tmp_path, 1)
    assert "@n2@" in where


def test_a_refused_submission_says_what_htcondor_says(htcondor: Pool, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"condor_submit: .*Parse error.*\(\("):
        made(tmp_path, requirements="((").place([order(tmp_path, "x", "pass")])


def test_a_queue_that_is_away_is_no_refusal(htcondor: Pool, executor: HTCondorExecutor, tmp_path: Path) -> None:
    with htcondor.without_queue():
        with pytest.raises(OSError, match=r"condor_submit: .*connect"):
            executor.place([order(tmp_path, "x", "pass")])
        with pytest.raises(OSError, match=r"condor_q: .*connect"):
            executor.poll([f"1.0:{tmp_path}/none.json"])
    assert list((tmp_path / "htcondor").iterdir()) == []
