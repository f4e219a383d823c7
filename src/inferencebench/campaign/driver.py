"""The driver: places tasks until every one is done or given up, and can be killed at any moment.

It keeps nothing in memory that a restart would need: what is done stands in the run directories, what was placed in the
journal.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from inferencebench.campaign import refusals
from inferencebench.campaign.ends import ending
from inferencebench.campaign.executors.contract import Executor, Life, Status
from inferencebench.campaign.history import History
from inferencebench.campaign.journal import Journal, State, alone, first_event_at, settled, state
from inferencebench.campaign.placing import Placing
from inferencebench.campaign.plan import Plan, Task
from inferencebench.campaign.spend import Spend, ended_s, limit_s, ran_until_s, spend, stop
from inferencebench.errors import InfrastructureError, UserError

POLL_S = 1.0
OUTAGE_S = 600.0
"""How long the campaign directory may be away (a shared file system that restarts) before the driver gives up."""


@dataclass(frozen=True)
class Snapshot:
    """The campaign at one moment."""

    states: Mapping[str, State]
    where: Mapping[str, str]
    """Host of each running task."""
    spent: Spend
    stopped: str | None
    """Why nothing more is placed; None: it goes on."""
    open: int
    """Placements that have not ended; a run may be done before its processes are gone."""


class Driver:
    """Takes a plan to its end on one executor."""

    def __init__(self, plan: Plan, out: Path, executor: Executor, watch: Callable[[Snapshot], None]) -> None:
        self._plan, self._out, self._executor, self._watch = plan, out.absolute(), executor, watch
        self._tasks = {task.id: task for task in plan.tasks}
        self._placing = Placing(plan, self._out, executor)
        self._seen_at: dict[str, float] = {}
        """Epoch seconds at which each placement was last seen to run."""

    @property
    def _detached(self) -> bool:
        """Whether placements outlive this driver; some executors know it when they have begun."""
        return getattr(self._executor, "detached", True)

    def run(self, *, retry: bool = False) -> Snapshot:
        """Place and poll until nothing is left to do; `retry`: also what was given up.

        Raises UserError when another driver works on this directory or placements are open of another executor or of
        runs that the campaign file no longer has,
        InfrastructureError when the directory is away for too long or the executor does not work."""
        with alone(self._out):
            journal = Journal(self._out)
            try:
                return self._loop(journal, retry)
            finally:
                if not self._detached:
                    self._executor.close()
                    with suppress(OSError):
                        self._collect(journal, journal.histories(), cancelled=False)

    def _loop(self, journal: Journal, retry: bool) -> Snapshot:
        away_since: float | None = None
        started = False
        while True:
            try:
                if not started:
                    self._begin(journal, retry)
                    started = True
                snapshot = self._step(journal)
                away_since = None
            except OSError as error:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > OUTAGE_S:
                    raise InfrastructureError(
                        f"{self._out}: the file system or the scheduler did not work for {OUTAGE_S:.0f} s: {error}"
                    ) from None
                time.sleep(POLL_S)
                continue
            self._watch(snapshot)
            waiting = not snapshot.stopped and State.WAITING in snapshot.states.values()
            if not (waiting or snapshot.open or State.RUNNING in snapshot.states.values()):
                return snapshot
            time.sleep(POLL_S)

    def _begin(self, journal: Journal, retry: bool) -> None:
        """Write the start down, and make sure that what is open can be polled by this executor."""
        journal.create()
        histories = journal.histories()
        refuse_others(self._out, histories, self._executor)
        if left := self._note_gone(journal, histories):
            raise UserError(
                f"{self._out}: {left} open placements are of runs that the campaign file no longer has; "
                f"`campaign cancel` ends them"
            )
        for task, history in histories.items():
            if retry and history.hopeless:
                journal.append("retried", task)
        journal.append("started", "", executor=self._executor.name)

    def _note_gone(self, journal: Journal, histories: Mapping[str, History]) -> int:
        """Write the ends of placements down whose runs the campaign file no longer has; gives how many go on."""
        gone = {h.handle: name for name, h in histories.items() if h.handle and name not in self._tasks}
        left = 0
        for handle, status in self._executor.poll(list(gone)).items() if gone else ():
            if status.life in (Life.QUEUED, Life.RUNNING):
                left += 1
                continue
            name = gone[handle]
            history = histories[name]
            journal.append(
                "ended", name, handle=handle, exit_code=status.exit_code, where=status.where or history.where,
                reason=status.reason or status.life, ran_s=self._ran_s(name, history, status.ran_s, history.limit_s),
            )  # fmt: skip
        return left

    def note(self) -> None:
        """Write down what began and ended, and place nothing. The caller holds the directory's lock."""
        journal = Journal(self._out)
        histories = journal.histories()
        self._note_gone(journal, histories)
        self._collect(journal, histories, journal.cancelled())

    def _step(self, journal: Journal) -> Snapshot:
        self._placing.find_lost(journal)
        histories = journal.histories()
        cancelled = journal.cancelled()
        where = self._collect(journal, histories, cancelled)
        self._give_up(journal, histories)
        if cancelled and where:
            self._executor.cancel([handle for task in where if (handle := histories[task].handle)])
        spent = spend(self._plan, self._out, histories, time.time())
        stopped = "it was cancelled" if cancelled else stop(self._plan.campaign, spent)
        if not stopped:
            self._placing.place(journal, spent)
        elif not cancelled:
            self._withdraw(journal, histories)
        states = {task.id: state(self._out, task, histories[task.id]) for task in self._plan.tasks}
        return Snapshot(states, where, spent, stopped, self._placing.open(histories))

    def _collect(self, journal: Journal, histories: dict[str, History], cancelled: bool) -> dict[str, str]:
        """Note what began, what the scheduler began again, and what ended; gives where the others are."""
        name = self._executor.name
        handles = {h.handle: t for t, h in histories.items() if h.handle and t in self._tasks and is_of(h, name)}
        where = {}
        for handle, status in self._executor.poll(list(handles)).items():
            task = self._tasks[handles[handle]]
            history = histories[task.id]
            if status.restarts > history.restarts:
                self._requeued(journal, task, history, status)
                journal.histories()
            # Right after a restart a scheduler may still name the node that was left.
            moved = history.restarts and status.where and status.where != history.where
            if status.life is Life.RUNNING and (history.began_at is None or moved):
                self._began(journal, task, history, status)
            if status.life is Life.QUEUED and status.reason != history.waits:
                journal.append("waits", task.id, reason=status.reason)
            if status.life is Life.RUNNING:
                self._seen_at[handle] = time.time()
            if status.life in (Life.QUEUED, Life.RUNNING):
                where[task.id] = status.where
            else:
                self._ended(journal, task, history, status, cancelled)
        journal.histories()
        return where

    def _began(self, journal: Journal, task: Task, history: History, status: Status) -> None:
        """It may have begun while no driver was there: then its run's events say when."""
        now = time.time()
        first = history.began_at or first_event_at(self._out, task.directory, history.since_at)
        began_at = round(min(now, first or now), 3)
        journal.append("began", task.id, handle=history.handle, where=status.where, began_at=began_at)

    def _requeued(self, journal: Journal, task: Task, history: History, status: Status) -> None:
        """A restart by the scheduler is an infrastructure failure like any other, and uses up an attempt."""
        reason = f"{self._executor.name} started it again{f' ({status.reason})' if status.reason else ''}"
        journal.append(
            "requeued", task.id, handle=history.handle, restarts=status.restarts, reason=reason,
            ran_s=self._ran_s(task.id, history, None, limit_s(self._plan.campaign, task)),
        )  # fmt: skip
        if len(history.failures) + 1 >= self._plan.campaign.retry.attempts and history.handle:
            self._executor.cancel([history.handle])

    def _ended(self, journal: Journal, task: Task, history: History, status: Status, cancelled: bool) -> None:
        end = ending(self._out, task, history, status, cancelled=cancelled, attached=not self._detached)
        # One that a restart has used up is not charged another time when it is ended for that.
        left = self._plan.campaign.retry.attempts - len(history.failures)
        refused = {"refused": end.refusal.places, "preflight_ns": end.refusal.preflight_ns} if end.refusal else {}
        journal.append(
            "ended", task.id, handle=history.handle, exit_code=status.exit_code, where=status.where or history.where,
            reason=end.reason, infrastructure=end.infrastructure and left > 0,
            ran_s=self._ran_s(task.id, history, status.ran_s, limit_s(self._plan.campaign, task)), **refused,
        )  # fmt: skip
        if end.hopeless:
            journal.append("gave_up", task.id, reason=end.reason)

    def _ran_s(self, name: str, history: History, measured: float | None, limit: float) -> float:
        """Seconds for which a placement has run since it was last begun; nobody may have `measured` it."""
        now, seen_at = time.time(), self._seen_at.pop(history.handle or "", 0.0)
        if measured is not None:
            return round(ended_s(history, measured, now), 3)
        return round(ran_until_s(self._out, name, history, limit, now, seen_at), 3)

    def _give_up(self, journal: Journal, histories: dict[str, History]) -> None:
        """End what used up its attempts, and what waits for a baseline that did."""
        for task in self._plan.tasks:
            history = histories[task.id]
            if history.hopeless or history.handle or settled(self._out, task):
                continue
            reason, attempts = None, self._plan.campaign.retry.attempts
            if len(history.failures) >= attempts:
                reason = f"{len(history.failures)} infrastructure failures, the last: {history.failures[-1]}"
            elif len(history.refusals) >= attempts * refusals.PER_ATTEMPT:
                reason = f"refused {len(history.refusals)} times in a row, the last: {history.refusals[-1]}"
            elif task.after and histories[task.after].hopeless and not settled(self._out, self._tasks[task.after]):
                reason = "its baseline was given up"
            if reason:
                journal.append("gave_up", task.id, reason=reason)
                history.hopeless = reason

    def _withdraw(self, journal: Journal, histories: Mapping[str, History]) -> None:
        """Take back what has not begun, since a bound is reached; told again until it has ended."""
        queued = [(task, h) for task, h in histories.items() if h.handle and h.began_at is None and task in self._tasks]
        for task, history in queued:
            if not history.withdrawn:
                journal.append("withdrawn", task, handle=history.handle)
                history.withdrawn = True
        if queued:
            self._executor.cancel([history.handle for _, history in queued if history.handle])


def is_of(history: History, executor: str) -> bool:
    """Whether this executor can say anything of a placement."""
    return history.executor in ("", executor)


def refuse_others(out: Path, histories: Mapping[str, History], executor: Executor) -> None:
    """Raises UserError when a placement is open of which this executor can say nothing."""
    for history in histories.values():
        if history.handle and not is_of(history, executor.name):
            raise UserError(
                f"{out}: a placement of executor {history.executor!r} is open; run or cancel the campaign with that "
                f"kind first"
            )
