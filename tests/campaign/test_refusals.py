"""Starts that a preflight refuses: no attempts of the run, and the sick place rests instead of eating the campaign."""

import json
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from inferencebench.campaign.driver import Driver, Snapshot
from inferencebench.campaign.executors.contract import Avoids, Life, Order, Status
from inferencebench.campaign.executors.local import LocalExecutor
from inferencebench.campaign.executors.slurm import SlurmExecutor
from inferencebench.campaign.journal import Journal, State
from inferencebench.campaign.model import Matrix, Placement, Retry
from inferencebench.campaign.plan import Plan, Task, plan
from inferencebench.campaign.refusals import Rest, pause_s, places, take_in
from inferencebench.campaign.status import status
from inferencebench.errors import InfrastructureError
from inferencebench.run import preflight
from tests.campaign.test_driver import Scripted, cache, finish, order, quick, the_plan
from tests.campaign.test_plan import campaign

__all__ = ["cache", "quick"]

REFUSED = Status(Life.ENDED, 3, "exit code 3", "h gpus=0 cores=4")


def look(out: Path, task: Task, missing: str | None) -> None:
    """What a run's preflight leaves."""
    folder = out / task.directory
    folder.mkdir(parents=True, exist_ok=True)
    finding = {"area": "preflight", "name": missing or "disk", "status": "missing" if missing else "ok", "detail": "d"}
    (folder / preflight.FILE).write_text(json.dumps([finding]))


class Host:
    """A host of some GPUs; preflight finds one of them (or all of the host) sick, and refuses at once."""

    name = "host"
    detached = False

    def __init__(self, out: Path, the_plan: Plan, gpus: int, sick: str, looks: int) -> None:
        self._out, self._gpus, self._sick, self._looks = out, gpus, sick, looks
        self._tasks = {task.id: task for task in the_plan.tasks}
        self._on: dict[str, int] = {}
        self._age: Counter[str] = Counter()
        self._avoided: Collection[str] = ()
        self.placed: list[str] = []
        self.refusals = 0

    def avoid(self, places: Collection[str]) -> None:
        self._avoided = places

    def _free(self) -> list[int]:
        busy = set(self._on.values())
        return [n for n in range(self._gpus) if n not in busy and not {"h", f"h gpu {n}"} & set(self._avoided)]

    def free(self) -> int:
        return len(self._free())

    def place(self, orders: Sequence[Order]) -> dict[str, str]:
        given = {}
        for one, gpu in zip(orders, self._free(), strict=False):
            handle = f"{one.task}#{len(self.placed)}"
            self.placed.append(one.task)
            self._on[handle] = gpu
            given[one.task] = handle
        return given

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        return {handle: self._status(handle) for handle in handles}

    def _status(self, handle: str) -> Status:
        task, gpu = self._tasks[handle.split("#")[0]], self._on[handle]
        where = f"h gpus={gpu} cores=4"
        self._age[handle] += 1
        if self._sick in ("disk", f"gpu {gpu}"):
            self.refusals += 1
            del self._on[handle]
            look(self._out, task, self._sick)
            return Status(Life.ENDED, 3, "exit code 3", where)
        if self._age[handle] < self._looks:
            return Status(Life.RUNNING, where=where)
        del self._on[handle]
        look(self._out, task, None)
        finish(self._out, task)
        return Status(Life.ENDED, 0, "exit code 0", where)

    def cancel(self, handles: Sequence[str]) -> None:
        return

    def close(self) -> None:
        return


def many() -> Plan:
    matrix = Matrix(suites=("laptop",), agents=tuple(f"script:{n}" for n in range(6)))
    return plan(campaign(matrix=matrix, retry=Retry(attempts=2, backoff_s=0.05)))


def test_one_sick_gpu_takes_no_run_with_it(tmp_path: Path) -> None:
    todo = many()
    executor = Host(tmp_path, todo, 4, "gpu 2", 20)
    Driver(todo, tmp_path, executor, lambda snapshot: None).run()
    found = status(todo, tmp_path)
    assert found.states == {"done": len(todo.tasks)}
    assert isinstance(executor, Avoids)
    assert 3 <= executor.refusals < 12, "it is asked again ever more rarely"
    assert {row.attempts for row in found.tasks} == {1}, "a refused start is no attempt"
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith(f"h gpu 2 refused {executor.refusals} starts in a row: exit code 3")


def test_a_host_without_disk_rests_as_a_whole_and_ends_in_a_bounded_number_of_refusals(tmp_path: Path) -> None:
    todo = the_plan(retry=Retry(attempts=2, backoff_s=0.001))
    executor = Host(tmp_path, todo, 4, "disk", 1)
    said: set[str] = set()

    def watch(snapshot: Snapshot) -> None:
        found = status(todo, tmp_path)
        said.update(found.warnings)
        said.add(found.tasks[0].note)

    found = Driver(todo, tmp_path, executor, watch).run()
    assert set(found.states.values()) == {State.FAILED}
    assert executor.placed == [todo.tasks[0].id] * 6
    assert "refused 6 times in a row, the last: exit code 3" in status(todo, tmp_path).tasks[0].note
    assert any(line.startswith("h refused 3 starts in a row") for line in said)
    assert any(line.startswith("refused 3 times in a row") for line in said)
    executor = Host(tmp_path, todo, 4, "none", 1)
    assert set(Driver(todo, tmp_path, executor, lambda s: None).run(retry=True).states.values()) == {State.DONE}


def test_a_refusal_is_counted_once_and_another_end_with_its_exit_code_is_an_attempt(tmp_path: Path) -> None:
    todo = the_plan()
    base = todo.tasks[0]

    class Once(Scripted):
        """Refused by preflight, and then ended by what comes before a preflight."""

        def poll(self, handles: Sequence[str]) -> dict[str, Status]:
            if handles and len(self.placed) == 1:
                look(tmp_path, base, "gpu 0")
            return super().poll(handles)

    Driver(todo, tmp_path, Once(tmp_path, todo, {"engine:pytorch": [REFUSED] * 9}), lambda snapshot: None).run()
    history = Journal(tmp_path).histories()[base.id]
    assert (history.placed, len(history.failures), history.refusals) == (2, 2, [])
    assert "infrastructure failures" in (history.hopeless or "")


def test_a_scheduler_whose_only_node_rests_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferencebench.campaign.placing.REFUSED_S", 0.02)
    todo = the_plan(retry=Retry(attempts=2, backoff_s=0.2))
    finish(tmp_path, todo.tasks[0])

    class One(Host):
        """Like sbatch: no node that may be used is an error. It rests for longer than each run that it refused."""

        errors = 0

        def place(self, orders: Sequence[Order]) -> dict[str, str]:
            if self._avoided:
                self.errors += 1
                raise InfrastructureError("sbatch: Requested node configuration is not available")
            self._sick = "disk" if not self.placed else "none"
            return super().place(orders)

        def free(self) -> int:
            return 2

    executor = One(tmp_path, todo, 2, "disk", 1)
    found = Driver(todo, tmp_path, executor, lambda snapshot: None).run()
    assert set(found.states.values()) == {State.DONE}
    assert executor.errors
    assert executor.refusals == 2


def test_a_start_of_the_campaign_ends_all_rests() -> None:
    rows = [{"event": "ended", "task": "a", "refused": ["h"], "at": 1.0, "reason": "r"}]
    for more, left in (
        ({}, {"h": (1, 1.0, "r")}),
        ({"event": "started", "task": ""}, {}),
        ({"event": "ended", "task": "b", "where": "h gpus=1 cores=2"}, {}),
    ):
        rests: dict[str, Rest] = {}
        for row in (*rows, more):
            take_in(rests, row)
        assert rests == left


def test_places_and_pauses() -> None:
    assert places("h gpus=0,3 cores=4") == ("h", "h gpu 0", "h gpu 3")
    assert places("h gpus= cores=4") == places("slot1@h") == places("h node=1a gpus= pid=3") == ("h",)
    assert [pause_s(30, n) for n in range(4)] == [0, 30, 60, 120]
    assert (pause_s(30, 2000), pause_s(7200, 9)) == (3600, 7200)


def test_the_local_executor_leaves_out_what_rests(tmp_path: Path, cache: Path) -> None:
    host = os.uname().nodename
    executor = LocalExecutor(gpus=(0, 3))
    executor.avoid({f"{host} gpu 0"})
    assert executor.free() == 1
    asks = [Order(n, order(tmp_path, "import time; time.sleep(60)").argv, 1, 60.0, tmp_path / n, {}) for n in "ab"]
    handles = executor.place(asks)
    assert list(handles) == ["a"]
    assert places(executor.poll(list(handles.values()))[handles["a"]].where) == (host, f"{host} gpu 3")
    executor.avoid(())
    assert list(executor.place(asks[1:])) == ["b"]
    executor.close()
    executor.avoid({host})
    assert (executor.free(), executor.place(asks)) == (0, {})


def test_slurm_is_told_which_nodes_to_leave_out(tmp_path: Path) -> None:
    executor = SlurmExecutor(Placement(kind="slurm"), tmp_path)
    executor.avoid({"n2", "n1", ""})
    assert "#SBATCH --exclude=n1,n2\n" in executor.script(tmp_path / "o.json", 1, 1, 5)
    executor.avoid(())
    assert "exclude=" not in executor.script(tmp_path / "o.json", 1, 1, 5)
