"""What is placed where runs of several sizes wait side by side, and what is said of those that find no place."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from inferencebench.campaign.driver import Driver, Snapshot
from inferencebench.campaign.executors.contract import Order
from inferencebench.campaign.journal import State
from inferencebench.campaign.model import Matrix, Placement, Retry
from inferencebench.campaign.plan import Plan, plan
from inferencebench.campaign.status import status
from inferencebench.files import read_jsonl
from inferencebench.suites.model import ScenarioName, SeedPair
from tests.campaign.test_driver import Scripted, quick
from tests.campaign.test_plan import campaign

__all__ = ["quick"]

ENOUGH = 60
"""Steps after which a driver that goes on waiting has shown what it does."""


class Over(Exception):
    """Ends a driver that would wait for ever."""


class Full(Scripted):
    """Has no GPU that is free, and says so."""

    def free(self) -> int:
        return 1

    def place(self, orders: Sequence[Order]) -> dict[str, str]:
        self._missing = {order.task: "waits for 1 free GPU" for order in orders if order.devices}
        return super().place([order for order in orders if not order.devices])

    def waits(self) -> dict[str, str]:
        return self._missing


def mixed(slots: int | None) -> Plan:
    """Runs of a GPU, and after them runs of none."""
    matrix = Matrix(
        suites=("h100-mistral-7b", "laptop"), agents=("script:a",), scenarios=(ScenarioName.DECODE,),
        seed_pairs=(SeedPair(dev=1, eval=2),),
    )  # fmt: skip
    return plan(campaign(matrix=matrix, retry=Retry(backoff_s=0.0), executor=Placement(slots=slots)))


@pytest.mark.parametrize("slots", [None, 1])
def test_runs_that_find_no_gpu_hide_no_cpu_runs_and_say_what_they_wait_for(tmp_path: Path, slots: int | None) -> None:
    todo = mixed(slots)
    steps: list[Snapshot] = []

    def watch(snapshot: Snapshot) -> None:
        steps.append(snapshot)
        if len(steps) == ENOUGH:
            raise Over

    with pytest.raises(Over):
        Driver(todo, tmp_path, Full(tmp_path, todo, {}), watch).run()
    found = {task.devices: steps[-1].states[task.id] for task in todo.tasks}
    assert found == {0: State.DONE, 1: State.WAITING}
    first = next(task for task in todo.tasks if task.devices)
    notes = {row.id: row.note for row in status(todo, tmp_path).tasks if row.note}
    assert notes == {first.id: "waits for 1 free GPU"}
    events = [row["event"] for row in read_jsonl(tmp_path / ".campaign" / "tasks.jsonl") if row["task"] == first.id]
    assert events == ["waits"], "written down once"
