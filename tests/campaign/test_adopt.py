"""Placements that nobody wrote down: their driver was killed, or had no answer, while it handed them over."""

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from inferencebench.campaign.adopt import adopt
from inferencebench.campaign.cancel import cancel
from inferencebench.campaign.driver import Driver
from inferencebench.campaign.executors.contract import Life, Order, Status
from inferencebench.campaign.journal import Journal, State
from inferencebench.campaign.model import Bounds
from inferencebench.campaign.plan import Plan
from inferencebench.run.machine import lease
from tests.campaign.test_driver import Scripted, begun_log, cache, drive, finish, quick, the_plan

__all__ = ["cache", "quick"]


class Queue(Scripted):
    """A scheduler that can name what it holds; what is in `held` waits until it is cancelled."""

    def __init__(self, out: Path, the_plan: Plan, held: Collection[str] = ()) -> None:
        super().__init__(out, the_plan, {})
        self.held = {task: f"{task}#held" for task in held}
        self.asked = 0

    def free(self) -> int:
        return 64

    def lost(self, tasks: Collection[str]) -> dict[str, str]:
        self.asked += 1
        return {task: handle for task, handle in self.held.items() if task in tasks}

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        held = {handle: Status(Life.QUEUED) for handle in handles if handle in self.held.values()}
        gone = {h: Status(Life.ENDED, None, "CANCELLED") for h in handles if h.endswith("#held") and h not in held}
        return {**held, **gone, **super().poll([h for h in handles if not h.endswith("#held")])}

    def cancel(self, handles: Sequence[str]) -> None:
        self.held = {task: handle for task, handle in self.held.items() if handle not in handles}


def test_runs_that_are_not_ready_yet_are_found_at_the_start_and_not_placed_again(tmp_path: Path) -> None:
    """The baseline is placed first, alone; its runs' jobs were in the queue all the time."""
    todo = the_plan()
    runs = [task for task in todo.tasks if task.after]
    executor = Queue(tmp_path, todo, [task.id for task in runs])

    def watch(snapshot: object) -> None:
        if "engine:pytorch" in executor.placed:
            for task in runs:
                finish(tmp_path, task)
            executor.held.clear()

    found = Driver(todo, tmp_path, executor, watch).run()
    assert executor.placed == ["engine:pytorch"]
    assert set(found.states.values()) == {State.DONE}
    assert {Journal(tmp_path).histories()[task.id].placed for task in runs} == {1}


def test_a_run_whose_lock_is_seen_is_found(tmp_path: Path) -> None:
    todo = the_plan()
    base = todo.tasks[0]
    journal = begun_log(tmp_path)
    with lease(tmp_path / base.directory / ".lock", wait=False):
        adopt(journal, todo, executor := Queue(tmp_path, todo, [base.id]))
    assert journal.histories()[base.id].handle == executor.held[base.id]
    adopt(journal, todo, executor)
    assert journal.histories()[base.id].placed == 1, "once"


def test_what_is_found_at_a_bound_is_withdrawn(tmp_path: Path) -> None:
    todo = the_plan(bounds=Bounds(max_usd=1.0))
    base, first, second = todo.tasks
    finish(tmp_path, base, usd=2.0)
    executor = Queue(tmp_path, todo, [first.id, second.id])
    found = drive(tmp_path, todo, executor)
    assert (executor.held, executor.placed, found.open) == ({}, [], 0)
    assert Journal(tmp_path).histories()[first.id].failures == []


def test_what_was_taken_without_an_answer_is_found_at_the_next_step(tmp_path: Path) -> None:
    todo = the_plan()

    class Silent(Queue):
        """Takes the first placement, and does not say so."""

        def place(self, orders: Sequence[Order]) -> dict[str, str]:
            handles = super().place(orders)
            if len(self.placed) > 1:
                return handles
            self.held = {task: f"{task}#held" for task in handles}
            raise OSError("sbatch: Socket timed out")

    executor = Silent(tmp_path, todo)

    def watch(snapshot: object) -> None:
        finish(tmp_path, todo.tasks[0])
        executor.held.clear()

    found = Driver(todo, tmp_path, executor, watch).run()
    assert sorted(executor.placed) == ["engine:llamacpp", "engine:pytorch", "script:a"]
    assert set(found.states.values()) == {State.DONE}
    assert executor.asked == 2, "at the start, and when it was not sure"


def test_cancel_ends_what_nobody_wrote_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferencebench.campaign.cancel.POLL_S", 0.01)
    todo = the_plan()
    begun_log(tmp_path).append("started", "")
    executor = Queue(tmp_path, todo, [task.id for task in todo.tasks])
    assert cancel(todo, tmp_path, executor, 5) == (3, ())
    assert executor.held == {}
    histories = Journal(tmp_path).histories()
    assert [(histories[t.id].handle, histories[t.id].failures) for t in todo.tasks] == [(None, [])] * 3


def test_cancel_leaves_it_to_a_driver_that_works(tmp_path: Path) -> None:
    """What a driver is placing at this moment would look as if nobody wrote it down."""
    todo = the_plan()
    begun_log(tmp_path).append("started", "")
    executor = Queue(tmp_path, todo, [todo.tasks[0].id])
    with lease(tmp_path / ".campaign" / ".lock", wait=False):
        assert cancel(todo, tmp_path, executor, 5) == (0, ())
    assert executor.asked == 0
