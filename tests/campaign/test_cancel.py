"""Cancelling, restarts by a scheduler, and what was used: real local processes, and a scripted scheduler."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from inferencebench.campaign.cancel import Cancelled, cancel
from inferencebench.campaign.driver import Driver, Snapshot
from inferencebench.campaign.executors.contract import Life, Order, Status
from inferencebench.campaign.executors.local import LocalExecutor
from inferencebench.campaign.executors.processes import identity
from inferencebench.campaign.journal import STUCK_S, Journal, State
from inferencebench.campaign.model import Bounds, Rates
from inferencebench.campaign.status import status
from inferencebench.errors import InfrastructureError, UserError
from inferencebench.files import read_jsonl
from tests.campaign.test_driver import Scripted, begun_log, cache, drive, finish, quick, the_plan

__all__ = ["cache", "quick"]

SLEEPS = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *a: (print('told', flush=True), sys.exit(130)));"
    "print('up', flush=True); time.sleep(60)"
)


class Sleeps(LocalExecutor):
    """Places a sleeping process for every order."""

    def place(self, orders: Sequence[Order]) -> dict[str, str]:
        argv = (sys.executable, "-c", SLEEPS)
        return super().place([Order(o.task, argv, 0, 60.0, o.log, {}) for o in orders])


def test_cancel_ends_what_runs_and_the_driver_and_is_no_failure(tmp_path: Path, cache: Path) -> None:
    todo, found = the_plan(), list[Snapshot]()
    mine = Sleeps(1)
    earlier = set(psutil.Process().children(recursive=True))
    driver = threading.Thread(target=lambda: found.append(Driver(todo, tmp_path, mine, lambda s: None).run()))
    driver.start()
    log = tmp_path / ".campaign" / "logs" / f"{todo.tasks[0].id}.log"
    deadline = time.monotonic() + 20
    while not (log.exists() and "up" in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    children = set(psutil.Process().children(recursive=True)) - earlier
    assert children
    done = cancel(todo, tmp_path, LocalExecutor(1), 30)
    assert (done.told, done.left) == (1, ())
    assert "told" in log.read_text()
    driver.join(20)
    assert not driver.is_alive(), "the driver places nothing more and ends"
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert set(found[0].states.values()) == {State.WAITING}
    history = Journal(tmp_path).histories()[todo.tasks[0].id]
    assert (history.handle, history.failures) == (None, [])
    assert status(todo, tmp_path).stopped == "it was cancelled"
    assert set(drive(tmp_path, todo, Scripted(tmp_path, todo, {})).states.values()) == {State.DONE}
    assert status(todo, tmp_path).stopped is None


def test_cancel_without_a_driver_writes_the_ends_down(tmp_path: Path, cache: Path) -> None:
    todo = the_plan()
    process = subprocess.Popen([sys.executable, "-c", SLEEPS], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    handle = identity(process.pid)
    begun_log(tmp_path).append("placed", todo.tasks[0].id, handle=handle, executor="local")
    threading.Thread(target=process.wait).start()
    assert cancel(todo, tmp_path, LocalExecutor(1), 30) == (1, ())
    assert Journal(tmp_path).histories()[todo.tasks[0].id].handle is None
    assert cancel(todo, tmp_path, LocalExecutor(1)) == (0, ())
    with pytest.raises(UserError, match="no campaign was started here"):
        cancel(todo, tmp_path / "other", LocalExecutor(1))
    (tmp_path / "half" / ".campaign").mkdir(parents=True)
    with pytest.raises(UserError, match="no campaign was started here"):
        cancel(todo, tmp_path / "half", LocalExecutor(1))


def test_cancel_waits_for_a_scheduler_that_is_away_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inferencebench.campaign.cancel.POLL_S", 0.01)
    todo = the_plan()

    class Away(Scripted):
        times = 3

        def poll(self, handles: Sequence[str]) -> dict[str, Status]:
            self.times -= 1
            if self.times >= 0:
                raise OSError("squeue: Unable to contact slurm controller")
            return {handle: Status(Life.ENDED, None, "CANCELLED") for handle in handles}

    executor = Away(tmp_path, todo, {})
    begun_log(tmp_path).append("placed", todo.tasks[0].id, handle="h", executor="scripted")
    with pytest.raises(InfrastructureError) as away:
        cancel(todo, tmp_path, executor, 0)
    assert str(away.value) == (
        "scripted: squeue: Unable to contact slurm controller; the campaign is marked cancelled; run cancel again"
    )
    assert Journal(tmp_path).cancelled()
    executor.times = 3
    assert cancel(todo, tmp_path, executor, 5).left == (), "back in time"
    assert Journal(tmp_path).histories()[todo.tasks[0].id].handle is None


class Requeues(Scripted):
    """A scheduler that starts its first placement `restarts` times again by itself before it ends."""

    restarts = 2
    polls = 0

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        self.polls += bool(handles)
        if handles and self.polls <= self.restarts + 1 and not self.cancelled:
            return {h: Status(Life.RUNNING, where="n1", restarts=self.polls - 1) for h in handles}
        if self.cancelled:
            self.cancelled = False
            return {h: Status(Life.ENDED, None, "CANCELLED", restarts=self.restarts) for h in handles}
        return super().poll(handles)

    cancelled = False

    def cancel(self, handles: Sequence[str]) -> None:
        self.cancelled = True


def test_restarts_by_the_scheduler_are_seen_counted_and_bounded(tmp_path: Path) -> None:
    todo = the_plan(retry={"attempts": 3, "backoff_s": 0.0})
    drive(tmp_path, todo, Requeues(tmp_path, todo, {}))
    row = status(todo, tmp_path).tasks[0]
    assert (row.state, row.attempts) == (State.DONE, 3)
    history = Journal(tmp_path).histories()[row.id]
    assert history.failures == ["scripted started it again"] * 2
    few = the_plan(retry={"attempts": 2, "backoff_s": 0.0})
    out = tmp_path / "few"
    out.mkdir()
    assert set(drive(out, few, Requeues(out, few, {})).states.values()) == {State.FAILED}


def test_a_restart_on_another_node_is_written_down_there(tmp_path: Path) -> None:
    """Just after a restart a scheduler may name the node that was left."""

    class Moves(Requeues):
        def poll(self, handles: Sequence[str]) -> dict[str, Status]:
            self.polls += bool(handles)
            seen = {1: ("n1", 0), 2: ("n1", 1), 3: ("n2", 1)}.get(self.polls)
            if handles and seen:
                return {h: Status(Life.RUNNING, where=seen[0], restarts=seen[1]) for h in handles}
            return Scripted.poll(self, handles)

    todo = the_plan(retry={"attempts": 3, "backoff_s": 0.0})
    drive(tmp_path, todo, Moves(tmp_path, todo, {}))
    rows = [r for r in read_jsonl(tmp_path / ".campaign" / "tasks.jsonl") if r["task"] == todo.tasks[0].id]
    assert [(r["event"], r.get("where")) for r in rows if r["event"] in ("began", "requeued")] == [
        ("began", "n1"), ("requeued", None), ("began", "n1"), ("began", "n2"),
    ]  # fmt: skip


def test_device_time_is_spend_and_bounds_stop_the_placing(tmp_path: Path) -> None:
    begun: set[str] = set()

    class Long(Scripted):
        def poll(self, handles: Sequence[str]) -> dict[str, Status]:
            for handle in handles:
                if handle not in begun:
                    begun.add(handle)
                    return {h: Status(Life.RUNNING, where="n1") for h in handles}
            time.sleep(0.3 if handles else 0)
            return super().poll(handles)

    todo = the_plan(bounds=Bounds(max_device_hours=0.2 / 3600), rates=Rates(device_usd_per_hour=3600.0))
    found = drive(tmp_path, todo, Long(tmp_path, todo, {}, usd=0.0))
    assert found.stopped is not None
    assert "device hours" in found.stopped
    seen = status(todo, tmp_path)
    assert 0.25 < seen.spent.machine_usd < 3
    assert seen.spent.usd == seen.spent.machine_usd
    assert seen.states == {"done": 1, "waiting": 2}


def test_a_silent_run_on_another_machine_is_shown_as_stuck(tmp_path: Path) -> None:
    todo = the_plan()
    task = todo.tasks[1]
    finish(tmp_path, todo.tasks[0])
    journal = begun_log(tmp_path)
    journal.append("placed", task.id, handle="h", executor="slurm")
    journal.append("began", task.id, handle="h", where="node7")
    events = tmp_path / task.directory / "events.jsonl"
    events.parent.mkdir(parents=True)
    events.touch()
    row = next(r for r in status(todo, tmp_path).tasks if r.id == task.id)
    assert (row.state, row.where) == (State.RUNNING, "node7")
    assert status(todo, tmp_path).stuck == ()
    old = time.time() - STUCK_S - task.longest_s + 60
    os.utime(events, (old, old))
    assert status(todo, tmp_path).stuck == (), "a run may be silent for as long as its load takes"
    old -= 120
    os.utime(events, (old, old))
    assert status(todo, tmp_path).stuck == (str(task.directory),)


def test_the_command_says_what_is_left_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from inferencebench.cli import campaign as cli

    file = tmp_path / "c.toml"
    file.write_text('name = "t"\n[matrix]\nsuites = ["laptop"]\nagents = ["engine:llamacpp"]\n')
    left = ("7_0:o", "7_1:o", "7_2:o", "7_3:o")
    names = [
        ("7_0:o", "1 placement"),
        ("7_0:o, 7_1:o, 7_2:o", "3 placements"),
        ("7_0:o, 7_1:o, 7_2:o, …", "4 placements"),
    ]
    for count, (listed, counted) in zip((1, 3, 4), names, strict=True):
        done = Cancelled(9, left[:count])
        monkeypatch.setattr("inferencebench.campaign.cancel.cancel", lambda plan, out, executor, done=done: done)
        with pytest.raises(InfrastructureError) as said:
            cli.cancel(file, tmp_path)
        assert str(said.value) == f"{counted} not ended yet: {listed}; run cancel again, or see the scheduler"
