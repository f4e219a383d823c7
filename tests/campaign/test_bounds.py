"""Bounds on spend and device time where a scheduler takes all that it is given."""

from collections.abc import Sequence
from pathlib import Path

from inferencebench.campaign.driver import Driver
from inferencebench.campaign.executors.contract import Life, Order, Status
from inferencebench.campaign.journal import Journal, State
from inferencebench.campaign.model import Bounds, Matrix, Rates, Retry
from inferencebench.campaign.plan import Plan, plan
from inferencebench.campaign.status import status
from inferencebench.suites.model import ScenarioName, SeedPair
from tests.campaign.test_driver import Scripted, finish, quick
from tests.campaign.test_plan import campaign

__all__ = ["quick"]


class Takes(Scripted):
    """A scheduler with so many nodes that queues whatever it is given. A run takes two looks, and then costs."""

    nodes = 4

    def __init__(self, out: Path, the_plan: Plan, usd: float) -> None:
        super().__init__(out, the_plan, {}, usd=usd)
        self.looks: dict[str, int] = {}
        self.most = 0
        self.withdrawn: set[str] = set()

    def free(self) -> None:  # type: ignore[override]
        return

    def place(self, orders: Sequence[Order]) -> dict[str, str]:
        placed = super().place(orders)
        return {task: f"{handle}/{task}" for task, handle in placed.items()}

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        self.most = max(self.most, len(handles))
        found = {}
        running = 0
        for handle in handles:
            if handle in self.withdrawn:
                found[handle] = Status(Life.ENDED, None, "CANCELLED")
                continue
            running += 1
            if running > self.nodes:
                found[handle] = Status(Life.QUEUED)
                continue
            self.looks[handle] = self.looks.get(handle, 0) + 1
            found |= super().poll([handle]) if self.looks[handle] > 2 else {handle: Status(Life.RUNNING, where="n1")}
        return found

    def cancel(self, handles: Sequence[str]) -> None:
        self.withdrawn.update(handles)


def priced(bounds: Bounds, usd_per_hour: float) -> Plan:
    """A baseline and 20 runs."""
    matrix = Matrix(
        suites=("laptop",), agents=("codex:m",), scenarios=(ScenarioName.DECODE,),
        seed_pairs=(SeedPair(dev=1, eval=2),), repeats=20,
    )  # fmt: skip
    rates = Rates(agent_usd_per_hour={"codex:*": usd_per_hour})
    return plan(campaign(matrix=matrix, bounds=bounds, rates=rates, retry=Retry(backoff_s=0.0)))


def test_a_scheduler_that_takes_all_is_given_what_the_estimates_leave(tmp_path: Path) -> None:
    usd_at_1 = priced(Bounds(), 1.0).tasks[1].estimated_usd
    todo = priced(Bounds(max_usd=2.0), 1.0 / usd_at_1)
    assert abs((todo.usd or 0) - 20) < 0.01
    executor = Takes(tmp_path, todo, 1.0)
    finish(tmp_path, todo.tasks[0])
    found = Driver(todo, tmp_path, executor, lambda snapshot: None).run()
    assert list(found.states.values()).count(State.DONE) == 1 + 2
    assert executor.most == 2
    assert found.spent.usd == 2.0


def test_what_has_not_begun_is_withdrawn_at_the_bound_and_is_no_failure(tmp_path: Path) -> None:
    todo = priced(Bounds(max_usd=2.0), 0.0)  # costs that no rate foretells
    executor = Takes(tmp_path, todo, 1.0)
    finish(tmp_path, todo.tasks[0])
    found = Driver(todo, tmp_path, executor, lambda snapshot: None).run()
    assert executor.most == 20
    done = list(found.states.values()).count(State.DONE)
    assert 3 <= done <= 1 + 2 * executor.nodes, "what ran at the bound was finished"
    assert (found.stopped or "").startswith("spent $")
    shown = status(todo, tmp_path)
    assert shown.states == {"done": done, "waiting": 21 - done}
    assert all(not history.failures and not history.handle for history in Journal(tmp_path).histories().values())
    assert {row.attempts for row in shown.tasks if row.state is State.WAITING} == {0}
    more = priced(Bounds(max_usd=200.0), 0.0)
    again = Driver(more, tmp_path, Takes(tmp_path, more, 1.0), lambda snapshot: None).run()
    assert set(again.states.values()) == {State.DONE}


def test_a_bound_on_device_hours_counts_what_open_placements_will_take(tmp_path: Path) -> None:
    one = priced(Bounds(), 0.0).tasks[1].estimated_s / 3600
    todo = priced(Bounds(max_device_hours=2.5 * one), 0.0)
    executor = Takes(tmp_path, todo, 0.0)
    finish(tmp_path, todo.tasks[0])
    Driver(todo, tmp_path, executor, lambda snapshot: None).run()
    assert executor.most == 3
