"""The driver with a scripted executor: order, retries, what is hopeless, bounds, restarts; and real local processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from inferencebench.campaign.driver import Driver, Snapshot
from inferencebench.campaign.executors.contract import Life, Order, Status
from inferencebench.campaign.executors.local import LocalExecutor
from inferencebench.campaign.journal import Journal, State
from inferencebench.campaign.model import Bounds, Campaign, Matrix, Retry
from inferencebench.campaign.plan import Plan, Task, plan
from inferencebench.campaign.status import status
from inferencebench.errors import UserError
from inferencebench.run.machine import lease
from inferencebench.run.record import Outcome
from inferencebench.sandbox.contract import Probe
from inferencebench.suites.model import ScenarioName, SeedPair


def the_plan(**more: object) -> Plan:
    matrix = Matrix(
        suites=("laptop",),
        agents=("engine:llamacpp", "script:a"),
        scenarios=(ScenarioName.DECODE,),
        seed_pairs=(SeedPair(dev=1, eval=2),),
    )
    fields = {"name": "t", "matrix": matrix, "retry": Retry(attempts=2, backoff_s=0.0), **more}
    return plan(Campaign.model_validate(fields))


def finish(out: Path, task: Task, outcome: Outcome = Outcome.PASSED, usd: float = 0.0) -> None:
    """What a run leaves when it is done, as far as a campaign looks at it."""
    folder = out / task.directory
    folder.mkdir(parents=True, exist_ok=True)
    record = {"outcome": outcome.value, "cost": {"api_usd": usd}}
    (folder / "result.json").write_text(json.dumps(record))


def begun_log(out: Path) -> Journal:
    """The log of a campaign that was begun."""
    journal = Journal(out)
    journal.create()
    return journal


class Scripted:
    """Ends each placement as its script says: a status without a result, or None for a run that passes."""

    name = "scripted"
    detached = True

    def __init__(self, out: Path, the_plan: Plan, script: dict[str, list[Status | None]], usd: float = 0.0) -> None:
        self._out, self._script, self._usd = out, script, usd
        self._tasks = {task.id: task for task in the_plan.tasks}
        self.placed: list[str] = []

    def probe(self) -> Probe:
        return Probe(True, "")

    def free(self) -> int:
        return 1

    def place(self, orders: Sequence[Order]) -> dict[str, str]:
        for order in orders:
            self.placed.append(self._tasks[order.task].agent)
        return {order.task: f"{order.task}#{len(self.placed)}" for order in orders}

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        found = {}
        for handle in handles:
            task = self._tasks[handle.split("#")[0]]
            steps = self._script.get(task.agent, [])
            step = steps.pop(0) if steps else None
            if step is None:
                finish(self._out, task, usd=self._usd)
            found[handle] = step or Status(Life.ENDED, 0, "exit code 0")
        return found

    def cancel(self, handles: Sequence[str]) -> None:
        return

    def close(self) -> None:
        return


def drive(out: Path, the_plan: Plan, executor: Scripted) -> Snapshot:
    return Driver(the_plan, out, executor, lambda snapshot: None).run()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferencebench.campaign.driver.POLL_S", 0.01)


def test_the_baseline_runs_first_and_everything_once(tmp_path: Path) -> None:
    todo = the_plan()
    executor = Scripted(tmp_path, todo, {})
    found = drive(tmp_path, todo, executor)
    assert executor.placed[0] == "engine:pytorch"
    assert sorted(executor.placed[1:]) == ["engine:llamacpp", "script:a"]
    assert set(found.states.values()) == {State.DONE}
    again = Scripted(tmp_path, todo, {})
    drive(tmp_path, todo, again)
    assert again.placed == []


LOST = Status(Life.LOST)
KILLED = Status(Life.ENDED, -9, "killed by signal 9")
INPUT = Status(Life.ENDED, 2, "exit code 2")


@pytest.mark.parametrize("end", [LOST, KILLED, Status(Life.ENDED, None, "NODE_FAIL"), Status(Life.ENDED, 0, "")])
def test_infrastructure_failures_are_tried_again_a_bounded_number_of_times(tmp_path: Path, end: Status) -> None:
    todo = the_plan()
    executor = Scripted(tmp_path, todo, {"script:a": [end]})
    assert set(drive(tmp_path, todo, executor).states.values()) == {State.DONE}
    assert executor.placed.count("script:a") == 2
    out = tmp_path / "endless"
    executor = Scripted(out, todo, {"script:a": [end] * 9})
    out.mkdir()
    found = status_of(out, todo, drive(out, todo, executor))
    assert executor.placed.count("script:a") == 2
    assert found["script:a"][0] is State.FAILED
    assert "2 infrastructure failures" in found["script:a"][1]


def status_of(out: Path, todo: Plan, snapshot: Snapshot) -> dict[str, tuple[State, str]]:
    rows = {row.id: row for row in status(todo, out).tasks}
    assert {task: rows[task].state for task in rows} == dict(snapshot.states)
    return {task.agent: (rows[task.id].state, rows[task.id].note) for task in todo.tasks}


def test_bad_input_is_not_tried_again_and_ends_what_waits_for_it(tmp_path: Path) -> None:
    todo = the_plan()
    executor = Scripted(tmp_path, todo, {"engine:pytorch": [INPUT]})
    found = status_of(tmp_path, todo, drive(tmp_path, todo, executor))
    assert executor.placed == ["engine:pytorch"]
    assert {state for state, _ in found.values()} == {State.FAILED}
    assert found["script:a"][1] == "its baseline was given up"


def test_nothing_more_is_placed_beyond_the_bound(tmp_path: Path) -> None:
    todo = the_plan(bounds=Bounds(max_usd=1.5))
    executor = Scripted(tmp_path, todo, {}, usd=1.0)
    found = drive(tmp_path, todo, executor)
    assert len(executor.placed) == 2
    assert found.stopped is not None
    assert list(found.states.values()).count(State.WAITING) == 1


def test_one_driver_at_a_time(tmp_path: Path) -> None:
    todo = the_plan()
    with lease(tmp_path / ".campaign" / ".lock", wait=False), pytest.raises(UserError, match="another process"):
        drive(tmp_path, todo, Scripted(tmp_path, todo, {}))


def test_a_restarted_driver_finds_its_placements(tmp_path: Path) -> None:
    todo = the_plan()
    base = todo.tasks[0]
    begun_log(tmp_path).append("placed", base.id, handle=f"{base.id}#0", executor="scripted")
    executor = Scripted(tmp_path, todo, {})
    drive(tmp_path, todo, executor)
    assert "engine:pytorch" not in executor.placed


def order(tmp_path: Path, code: str, name: str = "t") -> Order:
    return Order(name, (sys.executable, "-c", code), 0, 60.0, tmp_path / f"{name}.log", {"IB_TEST": "1"})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INFERENCEBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def wait_end(executor: LocalExecutor, handle: str) -> Status:
    for _ in range(500):
        found = executor.poll([handle])[handle]
        if found.life is not Life.RUNNING:
            return found
        time.sleep(0.02)
    raise AssertionError("still running")


def test_local_processes_end_with_their_code_and_free_their_slot(tmp_path: Path, cache: Path) -> None:
    executor = LocalExecutor(1)
    code = "import os, sys; print(os.environ['IB_TEST'], len(os.sched_getaffinity(0))); sys.exit(3)"
    handle = executor.place([order(tmp_path, code), order(tmp_path, code, "second")])
    assert list(handle) == ["t"]
    assert executor.free() == 0
    assert wait_end(executor, handle["t"])[:2] == (Life.ENDED, 3)
    assert executor.free() == 1
    assert (tmp_path / "t.log").read_text().startswith("1 ")


def test_a_slot_of_another_process_is_not_taken_and_comes_back_when_it_dies(tmp_path: Path, cache: Path) -> None:
    first, second = LocalExecutor(1), LocalExecutor(1)
    handle = first.place([order(tmp_path, "import time; time.sleep(60)")])["t"]
    assert second.place([order(tmp_path, "pass", "other")]) == {}
    first.cancel([handle])
    assert second.place([order(tmp_path, "pass", "other")]) != {}
    second.close()


def test_children_die_with_a_killed_driver(tmp_path: Path, cache: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tests.campaign.test_driver import order;"
        "from inferencebench.campaign.executors.local import LocalExecutor;"
        "print(LocalExecutor(1).place([order(Path(sys.argv[1]), 'import time; time.sleep(60)')])['t'], flush=True);"
        "time.sleep(60)"
    )
    root = Path(__file__).parents[2]
    driver = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root)
    assert driver.stdout is not None
    handle = driver.stdout.readline().strip()
    executor = LocalExecutor(1)
    assert executor.poll([handle])[handle].life is Life.RUNNING
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert wait_end(executor, handle).life is Life.LOST
