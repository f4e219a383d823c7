"""Which tasks are placed now: those that are ready, as far as the executor has room and the bounds allow."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from inferencebench.campaign import refusals
from inferencebench.campaign.adopt import adopt, write_placed
from inferencebench.campaign.executors.contract import Avoids, Executor, Explains, Order
from inferencebench.campaign.history import History
from inferencebench.campaign.journal import Journal, State, log_of, settled, state
from inferencebench.campaign.plan import Plan, Task
from inferencebench.campaign.spend import Spend, affordable, limit_s
from inferencebench.errors import InfrastructureError

REFUSED_S = 30.0
"""After a scheduler refused more placements, before it is asked again."""


class Placing:
    """Hands the tasks of a plan to one executor, and writes down what it took."""

    def __init__(self, plan: Plan, out: Path, executor: Executor) -> None:
        self._plan, self._out, self._executor = plan, out, executor
        self._tasks = {task.id: task for task in plan.tasks}
        self._backoff_s = plan.campaign.retry.backoff_s
        self._refused_at = float("-inf")
        self._sure = False
        """Whether the executor holds nothing of the plan that the log does not say."""

    def open(self, histories: Mapping[str, History]) -> int:
        """Placements of the plan that have not ended."""
        return sum(histories[task.id].handle is not None for task in self._plan.tasks)

    def find_lost(self, journal: Journal) -> None:
        """Write down what the executor may hold that the log does not say."""
        if not self._sure:
            adopt(journal, self._plan, self._executor)
            self._sure = True

    def place(self, journal: Journal, spent: Spend) -> None:
        """Hand over what is ready, each number of GPUs by itself: one that finds no place hides no other.

        Raises InfrastructureError when the executor takes nothing, and nothing is open that will make room."""
        if time.monotonic() - self._refused_at < REFUSED_S:
            return
        histories, resting = journal.histories(), self._resting(journal)
        if isinstance(self._executor, Avoids):
            self._executor.avoid(resting)
        if self._room(histories) == 0:
            return
        ready = [task for task in self._plan.tasks if self._ready(task, histories)]
        # A place that refuses is free again first: it is asked by another run each time, and uses none of them up.
        ready.sort(key=lambda task: len(histories[task.id].refusals))
        for devices in dict.fromkeys(task.devices for task in ready):
            alike = [task for task in ready if task.devices == devices][: self._room(histories)]
            alike = alike[: affordable(self._plan, alike, spent, histories, time.time())]
            try:
                self._hand_over(journal, alike)
            except InfrastructureError as error:
                if not (self.open(histories) or resting):  # without what rests there may be no place at all
                    raise
                self._refused_at = time.monotonic()
                _waits(journal, histories, {alike[0].id: str(error)})
                return

    def _room(self, histories: Mapping[str, History]) -> int | None:
        """How many more may be placed now; None: any number."""
        room, slots = self._executor.free(), self._plan.campaign.executor.slots
        if slots is None:
            return room
        left = max(0, slots - self.open(histories))
        return left if room is None else min(room, left)

    def _hand_over(self, journal: Journal, tasks: Sequence[Task]) -> None:
        """Place these and write it down. Raises InfrastructureError when the executor refuses."""
        if not tasks:
            return
        histories = journal.histories()  # away since the step began: nothing is placed
        sure, self._sure = self._sure, False  # until it says so, it may have taken them
        placements = self._executor.place([self._order(task) for task in tasks])
        self._sure = sure and len(placements) == len(tasks)
        try:
            for task_id, handle in list(placements.items()):
                write_placed(journal, self._plan, self._executor, self._tasks[task_id], handle)
                del placements[task_id]
        except OSError:  # a full disk: what is not written down would be placed again
            self._executor.cancel(list(placements.values()))
            raise
        if isinstance(self._executor, Explains):
            _waits(journal, histories, self._executor.waits())
        journal.histories()

    def _ready(self, task: Task, histories: Mapping[str, History]) -> bool:
        history = histories[task.id]
        if history.handle or state(self._out, task, history) is not State.WAITING:
            return False
        if task.after and not settled(self._out, self._tasks[task.after]):
            return False
        times = max(len(history.failures), len(history.refusals))
        return refusals.over(history.ended_at, refusals.pause_s(self._backoff_s, times), time.time())

    def _resting(self, journal: Journal) -> frozenset[str]:
        """Places that get nothing for now."""
        now = time.time()
        return frozenset(
            place
            for place, rest in journal.rests().items()
            if not refusals.over(rest.at, refusals.pause_s(self._backoff_s, rest.refusals), now)
        )

    def _order(self, task: Task) -> Order:
        campaign = self._plan.campaign
        python = str(campaign.executor.options.get("python", sys.executable))
        return Order(
            task=task.id,
            argv=(python, "-m", "inferencebench", *task.argv(campaign, self._out), "--wait", "--preflight"),
            devices=task.devices,
            time_limit_s=limit_s(campaign, task),
            log=log_of(self._out, task.id),
            env={},
        )


def _waits(journal: Journal, histories: Mapping[str, History], reasons: Mapping[str, str]) -> None:
    """Write down why these tasks were not placed, where that is new."""
    for task, reason in reasons.items():
        if histories[task].waits != reason:
            journal.append("waits", task, reason=reason)
