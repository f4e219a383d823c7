"""What a campaign looks like from outside: counts, outcomes, progress, what is stuck. Reads; never places."""

import time
from collections import Counter
from pathlib import Path

from inferencebench.campaign.journal import STUCK_S, Journal, State, last_event_age_s, outcome, state
from inferencebench.campaign.plan import Plan, Task
from inferencebench.campaign.spend import Spend, spend, stop
from inferencebench.errors import UserError
from inferencebench.suites.model import Record


class TaskStatus(Record):
    """One run."""

    id: str
    directory: str
    state: State
    outcome: str | None
    attempts: int
    where: str
    """Host and devices, while it runs."""
    silent_s: float | None
    """Seconds since its last event, while it runs."""
    note: str = ""


class CampaignStatus(Record):
    """All runs of a campaign."""

    name: str
    states: dict[str, int]
    outcomes: dict[str, int]
    done_share: float
    """Of the estimated device time, not of the number of runs."""
    eta_s: float | None
    """At the pace so far; None before the first run ended or after the last."""
    spent: Spend
    stopped: str | None
    """Why nothing more is placed: a bound that is reached, or it was cancelled; None: it goes on."""
    stuck: tuple[str, ...]
    """Directories of runs that have been silent for half an hour longer than a whole run may take."""
    tasks: tuple[TaskStatus, ...]


def status(plan: Plan, out: Path) -> CampaignStatus:
    """The campaign's status from its files. Raises UserError where none was started."""
    now = time.time()
    journal = Journal(out)
    try:
        histories = journal.histories()
    except FileNotFoundError:
        raise UserError(f"{out}: no campaign was started here; `campaign run` starts one") from None
    rows, done_s, total_s = [], 0.0, 0.0
    for task in plan.tasks:
        history = histories[task.id]
        where = state(out, task, history)
        found = outcome(out, task)
        total_s += task.estimated_s
        done_s += task.estimated_s if where in (State.DONE, State.FAILED) else 0.0
        rows.append(
            TaskStatus(
                id=task.id,
                directory=str(task.directory),
                state=where,
                outcome=found.value if found else None,
                attempts=history.placed,
                where=history.where if where is State.RUNNING else "",
                silent_s=last_event_age_s(out, task, now) if where is State.RUNNING else None,
                note=""
                if where is State.DONE
                else history.hopeless or history.waits or next(reversed(history.failures), ""),
            )
        )
    stuck = [row.directory for row, task in zip(rows, plan.tasks, strict=True) if _is_stuck(row, task)]
    spent = spend(plan, out, histories, now)
    share = done_s / total_s if total_s else 0.0
    return CampaignStatus(
        name=plan.campaign.name,
        states=dict(Counter(row.state.value for row in rows)),
        outcomes=dict(Counter(row.outcome for row in rows if row.outcome)),
        done_share=share,
        eta_s=_eta_s(journal, share, now),
        spent=spent,
        stopped="it was cancelled" if journal.cancelled() else stop(plan.campaign, spent),
        stuck=tuple(stuck),
        tasks=tuple(rows),
    )


def _is_stuck(row: TaskStatus, task: Task) -> bool:
    return row.silent_s is not None and row.silent_s > STUCK_S + task.longest_s


def _eta_s(journal: Journal, share: float, now: float) -> float | None:
    started = journal.started_at()
    if started is None or not 0 < share < 1:
        return None
    return max(0.0, (now - started) * (1 - share) / share)
