"""Faults of the ground a campaign stands on: full disk, a directory that goes away, a clock that jumps, two drivers."""

import json
import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from inferencebench.campaign import journal as journal_module
from inferencebench.campaign.driver import Driver
from inferencebench.campaign.executors.contract import Order, Status
from inferencebench.campaign.journal import State
from inferencebench.campaign.model import Matrix
from inferencebench.campaign.plan import plan
from inferencebench.campaign.status import status
from inferencebench.errors import InfrastructureError, UserError
from inferencebench.run.spec import Condition
from tests.campaign.test_driver import Scripted, begun_log, drive, finish, quick, the_plan
from tests.campaign.test_plan import campaign
from tests.waiting import wait_for

__all__ = ["quick"]


class Counting(Scripted):
    """Takes back what the driver could not write down, as a real executor does."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.withdrawn: list[str] = []

    def cancel(self, handles: Sequence[str]) -> None:
        self.withdrawn += handles


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_holds_the_campaign_and_nothing_is_placed_unwritten(small_disk: Path) -> None:
    todo = the_plan()
    journal = begun_log(small_disk)
    (small_disk / ".campaign" / ".lock").touch()
    log = small_disk / ".campaign" / "tasks.jsonl"
    log.write_bytes(b"\n" * (4096 - 110))  # room in its page for the driver's start, not for a placement
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        free = os.statvfs(small_disk).f_bavail
        file.write(b"x" * 4096 * free)
    assert os.statvfs(small_disk).f_bavail == 0
    executor = Counting(small_disk, todo, {})
    found: list[object] = []
    driver = threading.Thread(target=lambda: found.append(drive(small_disk, todo, executor)))
    driver.start()
    wait_for(lambda: executor.withdrawn, what="a placement that could not be written down is taken back")
    assert not any(history.placed for history in journal.histories().values())
    filler.unlink()
    driver.join(20)
    assert found
    assert all(history.placed == 1 for history in journal.histories().values())


def test_a_directory_that_is_away_for_a_while_is_not_an_empty_one(tmp_path: Path) -> None:
    out, away = tmp_path / "out", tmp_path / "away"
    out.mkdir()
    todo = the_plan()
    gone = threading.Event()

    class Loses(Scripted):
        def poll(self, handles: Sequence[str]) -> dict[str, Status]:
            if self.placed and not gone.is_set():  # the first placement was written down by now
                out.rename(away)
                gone.set()
            return super().poll(handles)

    executor = Loses(out, todo, {})
    driver = threading.Thread(target=lambda: drive(out, todo, executor))
    driver.start()
    assert gone.wait(10)
    time.sleep(0.5)
    before = list(executor.placed)
    assert driver.is_alive()
    if out.exists():  # a run that was being written when the directory went
        shutil.copytree(out, away, dirs_exist_ok=True)
        shutil.rmtree(out)
    away.rename(out)
    driver.join(20)
    assert not driver.is_alive()
    assert set(Counter(executor.placed).values()) == {1}, (before, executor.placed)


def test_a_directory_that_stays_away_ends_the_driver_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inferencebench.campaign.driver.OUTAGE_S", 0.2)
    out = tmp_path / "out"
    out.mkdir()
    todo = the_plan()

    class Removes(Scripted):
        def free(self) -> int:
            shutil.rmtree(out, ignore_errors=True)
            return 1

    with pytest.raises(InfrastructureError, match="the file system or the scheduler did not work for 0 s"):
        drive(out, todo, Removes(out, todo, {}))
    assert not out.exists(), "nothing is written beside the place where the directory belongs"


@pytest.mark.parametrize("jump_s", [-1e6, 1e6])
def test_a_clock_that_jumps_holds_no_task(tmp_path: Path, jump_s: float) -> None:
    todo = the_plan()
    log = tmp_path / ".campaign" / "tasks.jsonl"
    log.parent.mkdir()
    base = todo.tasks[0]
    rows = [
        {"at": time.time() + jump_s, "event": "placed", "task": base.id, "handle": "h"},
        {"at": time.time() + jump_s, "event": "ended", "task": base.id, "infrastructure": True, "reason": "lost"},
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert set(drive(tmp_path, todo, Scripted(tmp_path, todo, {})).states.values()) == {State.DONE}
    eta = status(todo, tmp_path).eta_s
    assert eta is None or eta >= 0


def test_a_torn_line_of_a_killed_driver_loses_only_itself(tmp_path: Path) -> None:
    """What was written whole is polled and not placed again; the run of the torn line waits for its own lock."""
    todo = the_plan()
    base, second, third = todo.tasks
    finish(tmp_path, base)
    begun_log(tmp_path).append("placed", second.id, handle=f"{second.id}#0", executor="scripted")
    with (tmp_path / ".campaign" / "tasks.jsonl").open("ab") as file:
        file.write(f'{{"event": "placed", "task": "{third.id}", "han'.encode())
    again = Scripted(tmp_path, todo, {})
    assert set(drive(tmp_path, todo, again).states.values()) == {State.DONE}
    assert again.placed == [third.agent]


def test_a_directory_that_goes_while_runs_are_placed_takes_them_back(tmp_path: Path) -> None:
    out, away = tmp_path / "out", tmp_path / "away"
    out.mkdir()
    todo = the_plan()

    class Goes(Counting):
        def place(self, orders: Sequence[Order]) -> dict[str, str]:
            found = super().place(orders)
            if len(self.placed) == 1:
                out.rename(away)
            return found

    executor = Goes(out, todo, {})
    driver = threading.Thread(target=lambda: drive(out, todo, executor))
    driver.start()
    wait_for(lambda: executor.withdrawn)
    assert len(executor.withdrawn) == 1, "what could not be written down"
    assert not out.exists(), "nothing is written beside the place where the directory belongs"
    with pytest.raises(UserError, match="no campaign was started here"):
        status(todo, out)
    assert not out.exists(), "looking makes no log that the driver would believe"
    away.rename(out)
    driver.join(20)
    assert not driver.is_alive()
    assert Counter(executor.placed) == {"engine:pytorch": 2, "engine:llamacpp": 1, "script:a": 1}


def test_a_second_campaign_in_the_directory_waits_for_nothing_and_is_refused(tmp_path: Path) -> None:
    todo = the_plan()
    inside, go = threading.Event(), threading.Event()

    class Holds(Scripted):
        def free(self) -> int:
            inside.set()
            go.wait(10)
            return 1

    first = threading.Thread(target=lambda: drive(tmp_path, todo, Holds(tmp_path, todo, {})))
    first.start()
    assert inside.wait(10)
    second = Scripted(tmp_path, todo, {})
    with pytest.raises(UserError, match="another process is working here"):
        drive(tmp_path, todo, second)
    go.set()
    first.join(20)
    assert second.placed == []


def test_every_placed_run_waits_for_another_process_that_works_on_it(tmp_path: Path) -> None:
    """A double submission of one run waits for its lock and finds it done: exit code 2 would give the run up."""
    todo = the_plan()
    argvs: list[tuple[str, ...]] = []

    class Notes(Scripted):
        def place(self, orders: Sequence[Order]) -> dict[str, str]:
            argvs.extend(order.argv for order in orders)
            return super().place(orders)

    Driver(todo, tmp_path, Notes(tmp_path, todo, {}), lambda snapshot: None).run()
    assert len(argvs) == 3
    assert all("--wait" in argv for argv in argvs)


def test_status_of_2160_run_directories_takes_under_two_seconds(tmp_path: Path) -> None:
    agents = tuple(f"claude-code:m{i}" for i in range(15))
    conditions = tuple(Condition(budget_s=s) for s in (3600.0, 7200.0, 14400.0))
    suites = ("h100-mistral-7b", "h100-qwen3-8b", "a100-mistral-7b", "h100-deepseek-v2-lite")
    big = plan(campaign(matrix=Matrix(suites=suites, agents=agents, conditions=conditions)))
    journal = begun_log(tmp_path)
    rows = [{"at": 1.0, "event": "placed", "task": task.id, "handle": "h"} for task in big.tasks]
    rows += [{"at": 2.0, "event": "ended", "task": task.id, "reason": ""} for task in big.tasks]
    (journal.folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for task in big.tasks:
        finish(tmp_path, task, usd=0.5)
    os.sync()
    seconds = []
    for _ in range(3):  # the least: others may work here too
        journal_module._read_end.cache_clear()
        started = time.monotonic()
        found = status(big, tmp_path)
        seconds.append(time.monotonic() - started)
    assert found.states == {"done": len(big.tasks)}
    assert found.spent.usd == pytest.approx(len(big.tasks) / 2)
    assert min(seconds) < 2, seconds
