"""What is tried again, what waits, and what ends: refusals, interruptions, failed baselines, give-ups, slots."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import typer

from inferencebench.campaign.cancel import cancel
from inferencebench.campaign.driver import Driver, Snapshot
from inferencebench.campaign.executors.contract import Executor, Life, Order, Status
from inferencebench.campaign.executors.local import LocalExecutor
from inferencebench.campaign.executors.slurm_queue import Job
from inferencebench.campaign.executors.slurm_queue import status as slurm_status
from inferencebench.campaign.journal import Journal, State
from inferencebench.campaign.model import Placement, Retry
from inferencebench.campaign.plan import Plan
from inferencebench.campaign.status import status
from inferencebench.errors import InfrastructureError, UserError
from inferencebench.run.record import Outcome
from tests.campaign.test_cancel import Sleeps
from tests.campaign.test_driver import INPUT, KILLED, Scripted, begun_log, cache, drive, finish, quick, the_plan

__all__ = ["cache", "quick"]


class Queues(Scripted):
    """Takes all it is given; a placement ends at the third look."""

    def __init__(self, out: Path, the_plan: Plan) -> None:
        super().__init__(out, the_plan, {})
        self.looks: dict[str, int] = {}
        self.most = 0

    def free(self) -> int:
        return 64

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        self.most = max(self.most, len(handles))
        found = {}
        for handle in handles:
            self.looks[handle] = self.looks.get(handle, 0) + 1
            found |= super().poll([handle]) if self.looks[handle] > 2 else {handle: Status(Life.QUEUED)}
        return found


@pytest.mark.parametrize(("slots", "most"), [(1, 1), (None, 2)])
def test_slots_bound_what_a_queue_is_given(tmp_path: Path, slots: int | None, most: int) -> None:
    todo = the_plan(executor=Placement(slots=slots))
    executor = Queues(tmp_path, todo)
    assert set(drive(tmp_path, todo, executor).states.values()) == {State.DONE}
    assert executor.most == most


def test_a_refusal_ends_the_driver_only_when_nothing_is_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferencebench.campaign.placing.REFUSED_S", 0.05)
    notes: set[str] = set()

    class Full(Queues):
        """Has room for one."""

        def place(self, orders: Sequence[Order]) -> dict[str, str]:
            if any(count <= 2 for count in self.looks.values()) or len(self.looks) < len(self.placed):
                raise InfrastructureError("sbatch: QOSMaxSubmitJobPerUserLimit")
            return super().place(orders[:1])

    todo = the_plan()
    executor = Full(tmp_path, todo)

    def watch(snapshot: Snapshot) -> None:
        notes.update(row.note for row in status(todo, tmp_path).tasks)

    assert set(Driver(todo, tmp_path, executor, watch).run().states.values()) == {State.DONE}
    assert sorted(executor.placed) == sorted(task.agent for task in todo.tasks)
    assert notes == {"", "sbatch: QOSMaxSubmitJobPerUserLimit"}

    class Refuses(Scripted):
        def place(self, orders: Sequence[Order]) -> dict[str, str]:
            raise InfrastructureError("sbatch: Invalid account")

    out = tmp_path / "other"
    out.mkdir()
    with pytest.raises(InfrastructureError, match="Invalid account"):
        drive(out, todo, Refuses(out, todo, {}))


def check_interruptions_use_up_no_attempt(out: Path, executor: Callable[[], Executor]) -> None:
    """Drivers interrupted at work, more often than there are attempts; then another one ends the campaign."""
    todo = the_plan()
    base = todo.tasks[0].id

    def interrupt(snapshot: Snapshot) -> None:
        if snapshot.states[base] is State.RUNNING:
            raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            Driver(todo, out, executor(), interrupt).run()
        history = Journal(out).histories()[base]
        assert (history.handle, history.failures) == (None, [])
        assert status(todo, out).states == {"waiting": 3}
    assert set(drive(out, todo, Scripted(out, todo, {})).states.values()) == {State.DONE}


def test_an_interrupted_driver_ends_its_runs_and_uses_up_no_attempt(tmp_path: Path, cache: Path) -> None:
    check_interruptions_use_up_no_attempt(tmp_path, lambda: Sleeps(1))


def test_a_run_that_died_with_its_driver_is_no_failure_but_a_lost_job_is(tmp_path: Path) -> None:
    todo = the_plan()
    base = todo.tasks[0].id

    class Lost(Scripted):
        def poll(self, handles: Sequence[str]) -> dict[str, Status]:
            old = {handle: Status(Life.LOST) for handle in handles if handle == "old"}
            return old | super().poll([handle for handle in handles if handle != "old"])

    for detached, failures in ((False, []), (True, ["lost: no log"])):
        out = tmp_path / str(detached)
        out.mkdir()
        begun_log(out).append("placed", base, handle="old", executor="scripted")
        executor = Lost(out, todo, {})
        executor.detached = detached
        drive(out, todo, executor)
        assert Journal(out).histories()[base].failures == failures


def test_a_baseline_that_did_not_pass_is_tried_again_within_the_attempts(tmp_path: Path) -> None:
    todo = the_plan()
    base = todo.tasks[0]

    class Fails(Scripted):
        """Its baseline's server fails so often."""

        times = 1

        def poll(self, handles: Sequence[str]) -> dict[str, Status]:
            if self.times and any(handle.startswith(base.id) for handle in handles):
                self.times -= 1
                finish(self._out, base, Outcome.SERVER_FAILED)
                return {handle: Status(Life.ENDED, 0, "exit code 0") for handle in handles}
            return super().poll(handles)

    executor = Fails(tmp_path, todo, {})
    assert set(drive(tmp_path, todo, executor).states.values()) == {State.DONE}
    assert executor.placed.count("engine:pytorch") == 2
    out = tmp_path / "endless"
    out.mkdir()
    executor = Fails(out, todo, {})
    executor.times = 9
    assert set(drive(out, todo, executor).states.values()) == {State.FAILED}
    assert executor.placed == ["engine:pytorch"] * 2
    assert "the baseline is server_failed" in status(todo, out).tasks[0].note
    executor.times = 0
    assert set(drive(out, todo, executor).states.values()) == {State.FAILED}, "given up is given up"
    assert set(Driver(todo, out, executor, lambda snapshot: None).run(retry=True).states.values()) == {State.DONE}


def test_back_off_is_waited_for(tmp_path: Path) -> None:
    todo = the_plan(retry=Retry(attempts=3, backoff_s=0.2))
    times: list[float] = []

    class Timed(Scripted):
        def place(self, orders: Sequence[Order]) -> dict[str, str]:
            if orders[0].task == todo.tasks[0].id:
                times.append(time.monotonic())
            return super().place(orders)

    drive(tmp_path, todo, Timed(tmp_path, todo, {"engine:pytorch": [KILLED, KILLED]}))
    first, second, third = times
    assert second - first > 0.19
    assert third - second > 0.39


def test_placements_of_another_executor_are_not_polled_as_ones_own(tmp_path: Path) -> None:
    todo = the_plan()
    begun_log(tmp_path).append("placed", todo.tasks[0].id, handle="7_0:orders", executor="slurm")
    local = LocalExecutor(1)
    for _ in range(2):
        with pytest.raises(UserError, match="executor 'slurm' is open"):
            Driver(todo, tmp_path, local, lambda snapshot: None).run()
        with pytest.raises(UserError, match="executor 'slurm' is open"):
            cancel(todo, tmp_path, local)
        assert not Journal(tmp_path).cancelled()
        assert Journal(tmp_path).histories()[todo.tasks[0].id].handle == "7_0:orders"


ROWS = [
    ("PENDING", "Resources", Life.QUEUED, ""),
    ("PENDING", "QOSMaxJobsPerUserLimit", Life.QUEUED, "QOSMaxJobsPerUserLimit"),
    ("PENDING", "JobHeldUser", Life.QUEUED, "JobHeldUser"),
    ("PENDING", "launch failed requeued held", Life.ENDED, "PENDING (launch failed requeued held)"),
    ("PENDING", "PartitionTimeLimit", Life.ENDED, "PENDING (PartitionTimeLimit)"),
    ("REQUEUE_HOLD", "None", Life.ENDED, "REQUEUE_HOLD (None)"),
    ("RUNNING", "None", Life.RUNNING, ""),
]


@pytest.mark.parametrize(("state", "reason", "life", "said"), ROWS)
def test_slurm_jobs_that_wait_for_ever_have_ended(
    tmp_path: Path, state: str, reason: str, life: Life, said: str
) -> None:
    found = slurm_status(Job("7_0", tmp_path / "o.json"), ["7_0", state, reason, "", "0", "0"])
    assert (found.life, found.reason) == (life, said)


def test_given_up_runs_give_the_command_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from inferencebench.campaign.executors import registry
    from inferencebench.cli.campaign import run

    file = tmp_path / "c.toml"
    file.write_text('name = "t"\n[matrix]\nsuites = ["laptop"]\nagents = ["script:a"]\nscenarios = ["decode"]\n')
    (tmp_path / "a").touch()
    monkeypatch.chdir(tmp_path)
    made: list[Scripted] = []

    def get(campaign: object, folder: Path) -> Scripted:
        from inferencebench.campaign.model import load
        from inferencebench.campaign.plan import plan

        made.append(Scripted(tmp_path / "out", plan(load(file)), {"script:a": [] if made else [INPUT] * 3}))
        return made[-1]

    monkeypatch.setattr(registry, "get", get)
    with pytest.raises(typer.Exit) as ended:
        run(file, tmp_path / "out", retry=False, json=True)
    assert ended.value.exit_code == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["states"] == {"failed": 3, "done": 3}
    assert "3 runs were given up; `campaign run --retry` tries them again" in said.err
    run(file, tmp_path / "out", retry=True, json=True)
