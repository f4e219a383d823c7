"""What was left behind: downtime of a driver, a driver that is gone, and runs that the campaign file no longer has."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from inferencebench.campaign.cancel import cancel
from inferencebench.campaign.driver import Driver
from inferencebench.campaign.executors.contract import Life, Status
from inferencebench.campaign.journal import Journal, State, log_of
from inferencebench.campaign.model import Matrix, Rates, Retry
from inferencebench.campaign.plan import Plan, Task, plan
from inferencebench.campaign.status import status
from inferencebench.errors import UserError
from inferencebench.files import canonical_json
from tests.campaign.test_driver import Scripted, begun_log, drive, finish, quick, the_plan
from tests.campaign.test_plan import campaign

__all__ = ["quick"]

HOUR = 3600.0
NO_DRIVER = "no driver holds the campaign's lock; `campaign run` continues it"


def begun_at(out: Path, task: Task, at: float, executor: str = "scripted") -> None:
    """A placement that began then, as a driver wrote it down."""
    log = begun_log(out).folder / "tasks.jsonl"
    placed = {"handle": f"{task.id}#0", "executor": executor, "directory": str(task.directory), "devices": 0}
    rows = [
        {"at": at, "event": "placed", "task": task.id, **placed, "limit_s": 9 * HOUR},
        {"at": at, "event": "began", "task": task.id, "where": "n1"},
    ]
    with log.open("ab") as file:
        file.writelines(canonical_json(row) + b"\n" for row in rows)


def sign(path: Path, at: float) -> None:
    """A file that was last written then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (at, at))


class Lost(Scripted):
    """Knows nothing of what an earlier driver placed."""

    detached = False

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        old = {handle: Status(Life.LOST) for handle in handles if handle.endswith("#0")}
        return old | super().poll([handle for handle in handles if handle not in old])


def slow_plan(agent: str = "script:a") -> Plan:
    """Runs that may take long."""
    matrix = Matrix(
        suites=("h100-mistral-7b",), agents=(agent,), scenarios=("decode",), seed_pairs=({"dev": 1, "eval": 2},)
    )
    return plan(campaign(matrix=matrix, retry=Retry(attempts=2, backoff_s=0.0), rates=Rates(device_usd_per_hour=2)))


@pytest.mark.parametrize("by", ["events", "log"])
def test_downtime_is_no_device_time(tmp_path: Path, by: str) -> None:
    todo = slow_plan()
    base, now = todo.tasks[0], time.time()
    begun_at(tmp_path, base, now - 10 * HOUR)
    sign(tmp_path / base.directory / "events.jsonl", now - (9 if by == "events" else 9.5) * HOUR)
    sign(log_of(tmp_path, base.id), now - (9 if by == "log" else 9.5) * HOUR)
    found = status(todo, tmp_path)
    assert found.spent.device_hours == pytest.approx(1, abs=0.01)
    assert found.warnings == (NO_DRIVER,)
    drive(tmp_path, todo, Lost(tmp_path, todo, {}))
    found = status(todo, tmp_path)
    assert found.spent.device_hours == pytest.approx(1, abs=0.01)
    assert found.warnings == ()


def test_a_driver_that_works_is_seen(tmp_path: Path) -> None:
    todo = the_plan()
    seen: list[tuple[str, ...]] = []
    executor = Scripted(tmp_path, todo, {})
    Driver(todo, tmp_path, executor, lambda snapshot: seen.append(status(todo, tmp_path).warnings)).run()
    assert set(seen) == {()}


class Knows(Scripted):
    """A scheduler with a job of an earlier driver's."""

    cancelled = False

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        old = [handle for handle in handles if handle.endswith("#0")]
        end = Status(Life.ENDED, None, "CANCELLED") if self.cancelled else Status(Life.RUNNING, where="n1")
        return dict.fromkeys(old, end) | super().poll([handle for handle in handles if handle not in old])

    def cancel(self, handles: Sequence[str]) -> None:
        self.cancelled = True


def test_runs_that_the_file_no_longer_has_are_ended_counted_and_charged(tmp_path: Path) -> None:
    before, after = slow_plan("script:before"), slow_plan("script:after")
    gone = before.tasks[1]
    finish(tmp_path, before.tasks[0])
    begun_at(tmp_path, gone, time.time() - HOUR)
    executor = Knows(tmp_path, after, {})
    with pytest.raises(UserError, match="1 open placements are of runs that the campaign file no longer has"):
        drive(tmp_path, after, executor)
    assert executor.placed == []
    found = status(after, tmp_path)
    assert "1 open placements are of runs that the campaign file no longer has" in found.warnings
    assert found.spent.device_hours == pytest.approx(1, abs=0.01)
    assert cancel(after, tmp_path, executor) == (1, ())
    history = Journal(tmp_path).histories()[gone.id]
    assert (history.handle, history.failures) == (None, [])
    finish(tmp_path, gone, usd=7.0)
    assert set(drive(tmp_path, after, executor).states.values()) == {State.DONE}
    spent = status(after, tmp_path).spent
    assert spent.device_hours == pytest.approx(1, abs=0.01)
    assert spent.usd == pytest.approx(2 + 7, abs=0.05)


def test_one_that_ended_meanwhile_is_written_down_and_holds_nothing_up(tmp_path: Path) -> None:
    before, after = slow_plan("script:before"), slow_plan("script:after")
    finish(tmp_path, before.tasks[0])
    begun_at(tmp_path, before.tasks[1], time.time() - HOUR)
    assert set(drive(tmp_path, after, Lost(tmp_path, after, {})).states.values()) == {State.DONE}
    assert Journal(tmp_path).histories()[before.tasks[1].id].handle is None
