"""Device time of what ran while nobody watched: by who measured it, else by what the run itself wrote."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from inferencebench.campaign.driver import Driver
from inferencebench.campaign.executors.batch import command, exit_file, read_end, write_orders
from inferencebench.campaign.executors.contract import Life, Order, Status
from inferencebench.campaign.executors.local import LocalExecutor
from inferencebench.campaign.executors.slurm_queue import Job
from inferencebench.campaign.executors.slurm_queue import status as slurm_status
from inferencebench.campaign.history import History
from inferencebench.campaign.journal import Journal
from inferencebench.campaign.plan import Plan, Task
from inferencebench.campaign.spend import ended_s, ran_until_s
from inferencebench.campaign.status import status
from inferencebench.files import canonical_json, read_jsonl
from tests.campaign.test_driver import Scripted, begun_log, cache, drive, finish, order, quick, wait_end
from tests.campaign.test_status_left import HOUR, begun_at, sign, slow_plan

__all__ = ["cache", "quick"]


class Ended(Scripted):
    """A scheduler whose job of an earlier driver ended so."""

    def __init__(self, out: Path, the_plan: Plan, *ends: Status) -> None:
        super().__init__(out, the_plan, {})
        self.ends = list(ends)

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        old = [handle for handle in handles if handle.endswith("#0")]
        for handle in old:
            finish(self._out, self._tasks[handle.split("#")[0]])
        found = {handle: self.ends.pop(0) if len(self.ends) > 1 else self.ends[0] for handle in old}
        return found | super().poll([handle for handle in handles if handle not in old])


def placed_at(out: Path, task: Task, at: float) -> None:
    """A placement that a driver wrote down then, and never saw again."""
    row = {"handle": f"{task.id}#0", "executor": "scripted", "directory": str(task.directory), "devices": 0}
    with (begun_log(out).folder / "tasks.jsonl").open("ab") as file:
        file.write(canonical_json({"at": at, "event": "placed", "task": task.id, "limit_s": 9 * HOUR, **row}) + b"\n")


def events(out: Path, task: Task, *at: float) -> None:
    """A run's events of these times; the last is when the file was written."""
    path = out / task.directory / "events.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"at": moment, "event": "e"}) + "\n" for moment in at))
    sign(path, at[-1])


def hours(out: Path, todo: Plan, *ends: Status) -> float:
    """Device hours when a driver has come back and seen this."""
    drive(out, todo, Ended(out, todo, *ends))
    return status(todo, out).spent.device_hours


MEASURED = Status(Life.ENDED, 0, "exit code 0", ran_s=1.5 * HOUR)


def test_a_job_that_ran_while_no_driver_was_there_counts_as_its_node_measured(tmp_path: Path) -> None:
    todo, now = slow_plan(), time.time()
    placed_at(tmp_path, todo.tasks[0], now - 5 * HOUR)
    assert hours(tmp_path, todo, MEASURED) == pytest.approx(1.5, abs=0.01)


@pytest.mark.parametrize("life", [Life.ENDED, Life.LOST])
def test_without_a_measure_it_counts_from_its_first_event_to_its_last(tmp_path: Path, life: Life) -> None:
    todo, now = slow_plan(), time.time()
    base = todo.tasks[0]
    placed_at(tmp_path, base, now - 5 * HOUR)
    events(tmp_path, base, now - 9 * HOUR, now - 4 * HOUR, now - 3.5 * HOUR, now - 3 * HOUR)
    assert status(todo, tmp_path).spent.device_hours == pytest.approx(1, abs=0.01), "also while no driver is there"
    assert hours(tmp_path, todo, Status(life, 0)) == pytest.approx(1, abs=0.01)


def test_an_end_that_is_seen_late_is_not_charged_the_limit(tmp_path: Path) -> None:
    todo, now = slow_plan(), time.time()
    begun_at(tmp_path, todo.tasks[0], now - 5 * HOUR)
    events(tmp_path, todo.tasks[0], now - 5 * HOUR, now - 5 * HOUR + 60)
    assert hours(tmp_path, todo, Status(Life.ENDED, 0)) == pytest.approx(60 / HOUR, abs=0.001)


def test_a_restart_that_is_seen_late_is_charged_until_the_last_sign_and_nothing_twice(tmp_path: Path) -> None:
    todo, now = slow_plan(), time.time()
    begun_at(tmp_path, todo.tasks[0], now - 5 * HOUR)
    events(tmp_path, todo.tasks[0], now - 5 * HOUR, now - 4 * HOUR)
    ends = (Status(Life.RUNNING, where="n2", restarts=1), MEASURED._replace(restarts=1))
    assert hours(tmp_path, todo, *ends) == pytest.approx(1, abs=0.01)


def test_a_driver_that_finds_a_run_at_work_counts_from_its_first_event(tmp_path: Path) -> None:
    todo, now = slow_plan(), time.time()
    placed_at(tmp_path, todo.tasks[0], now - 5 * HOUR)
    events(tmp_path, todo.tasks[0], now - 2 * HOUR, now)
    spent: list[float] = []
    executor = Ended(tmp_path, todo, Status(Life.RUNNING, where="n1"), MEASURED)
    Driver(todo, tmp_path, executor, lambda snapshot: spent.append(snapshot.spent.device_hours)).run()
    assert spent[0] == pytest.approx(2, abs=0.01)
    rows = read_jsonl(tmp_path / ".campaign" / "tasks.jsonl")
    assert next(row["began_at"] for row in rows if row["event"] == "began") == pytest.approx(now - 2 * HOUR, abs=0.01)


def test_a_silent_run_counts_until_it_was_last_seen(tmp_path: Path) -> None:
    history = History(began_at=100.0, directory="r")
    sign(tmp_path / "r" / "events.jsonl", 160.0)
    assert ran_until_s(tmp_path, "t", history, 1000.0, 900.0) == 60
    assert ran_until_s(tmp_path, "t", history, 1000.0, 900.0, 500.0) == 400
    assert ended_s(History(restarts=1, since_at=100.0), 50.0, 120.0) == 20
    assert ended_s(History(since_at=100.0), 50.0, 120.0) == 50


@pytest.mark.usefixtures("cache")
def test_the_wrapper_says_how_long_an_order_ran(tmp_path: Path) -> None:
    path = tmp_path / "o.json"
    argv = (sys.executable, "-c", "import time; time.sleep(0.3)")
    write_orders(path, [Order("t", argv, 0, 60.0, tmp_path / "t.log", {})], cpus=1)
    before = time.monotonic()
    subprocess.run(command(path, 0), check=True)
    end = read_end(exit_file(path, 0))
    assert end is not None
    assert end.ran_s is not None
    assert 0.3 <= end.ran_s <= time.monotonic() - before
    for row in (None, ["7_0", "COMPLETED", "None", "n1", "0", "0"]):
        found = slurm_status(Job("7_0", path), row)
        assert (found.life, found.ran_s) == (Life.ENDED, end.ran_s)


def test_local_runs_are_measured_also_when_they_end_with_their_driver(tmp_path: Path, cache: Path) -> None:
    executor = LocalExecutor(1)
    started = time.monotonic()
    handle = executor.place([order(tmp_path, "pass")])["t"]
    ran_s = wait_end(executor, handle).ran_s
    assert ran_s is not None
    assert 0 < ran_s <= time.monotonic() - started
    handle = executor.place([order(tmp_path, "import time; time.sleep(60)")])["t"]
    executor.close()
    found = executor.poll([handle])[handle]
    assert found.life is Life.LOST
    assert 0 < (found.ran_s or 0) < 60


def test_what_no_longer_belongs_to_the_campaign_is_measured_too(tmp_path: Path) -> None:
    before, after = slow_plan("script:before"), slow_plan("script:after")
    finish(tmp_path, before.tasks[0])
    placed_at(tmp_path, before.tasks[1], time.time() - 5 * HOUR)

    class Knows(Scripted):
        def poll(self, handles: Sequence[str]) -> dict[str, Status]:
            gone = [handle for handle in handles if handle.endswith("#0")]
            return dict.fromkeys(gone, MEASURED) | super().poll([h for h in handles if h not in gone])

    drive(tmp_path, after, Knows(tmp_path, after, {}))
    assert Journal(tmp_path).histories()[before.tasks[1].id].ran_s == 1.5 * HOUR
