"""What a campaign looks like from outside: counts, outcomes, progress, what is stuck. Reads; never places."""

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from inferencebench.campaign.history import History
from inferencebench.campaign.journal import STUCK_S, Journal, State, driven, last_event_age_s, outcome, state
from inferencebench.campaign.plan import Plan, Task
from inferencebench.campaign.refusals import MANY, Rest
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
    priced: bool
    """Whether the campaign has prices, or its runs said any; if not, the dollars are not known."""
    stopped: str | None
    """Why nothing more is placed: a bound that is reached, or it was cancelled; None: it goes on."""
    stuck: tuple[str, ...]
    """Directories of runs that have been silent for half an hour longer than a whole run may take."""
    warnings: tuple[str, ...]
    """What somebody should look at: no driver works, or places refuse what is started there."""
    tasks: tuple[TaskStatus, ...]


def status(plan: Plan, out: Path) -> CampaignStatus:
    """The campaign's status from its files. Raises UserError where none was started."""
    now = time.time()
    journal = Journal(out)
    try:
        histories = journal.histories()
    except FileNotFoundError:
        raise UserError(f"{out}: no campaign was started here; `campaign run` starts one") from None
    rows = [_row(out, task, histories[task.id], now) for task in plan.tasks]
    stuck = [row.directory for row, task in zip(rows, plan.tasks, strict=True) if _is_stuck(row, task)]
    watched, cancelled = driven(out), journal.cancelled()
    spent = spend(plan, out, histories, now, watched=watched)
    share = _done_share(plan.tasks, rows)
    return CampaignStatus(
        name=plan.campaign.name,
        states=dict(Counter(row.state.value for row in rows)),
        outcomes=dict(Counter(row.outcome for row in rows if row.outcome)),
        done_share=share,
        eta_s=_eta_s(journal, share, now),
        spent=spent,
        priced=plan.campaign.rates.given or spent.usd > 0,
        stopped="it was cancelled" if cancelled else stop(plan.campaign, spent),
        stuck=tuple(stuck),
        warnings=(
            *_unwatched(watched or cancelled, [row.state for row in rows]),
            *_gone(plan, histories),
            *_refusing(journal.rests()),
        ),
        tasks=tuple(rows),
    )


def _row(out: Path, task: Task, history: History, now: float) -> TaskStatus:
    where, found = state(out, task, history), outcome(out, task)
    running = where is State.RUNNING
    note = history.hopeless or history.waits or _refused(history) or next(reversed(history.failures), "")
    return TaskStatus(
        id=task.id,
        directory=str(task.directory),
        state=where,
        outcome=found.value if found else None,
        attempts=history.placed,
        where=history.where if running else "",
        silent_s=last_event_age_s(out, task, now) if running else None,
        note="" if where is State.DONE else note,
    )


def _done_share(tasks: Sequence[Task], rows: Sequence[TaskStatus]) -> float:
    """Of the estimated device time; what was given up is done, too."""
    total_s = sum(task.estimated_s for task in tasks)
    over = (State.DONE, State.FAILED)
    done_s = sum(task.estimated_s for task, row in zip(tasks, rows, strict=True) if row.state in over)
    return done_s / total_s if total_s else 0.0


def _refused(history: History) -> str:
    """Of a run that its preflight refused each time; empty for another."""
    times = len(history.refusals)
    if times < MANY:
        return next(reversed(history.refusals), "")
    return f"refused {times} times in a row: {history.refusals[-1]}"


def _unwatched(fine: bool, states: Collection[State]) -> tuple[str, ...]:
    """A line when something is left to do and nobody is there to do it."""
    left = not {State.WAITING, State.PLACED, State.RUNNING}.isdisjoint(states)
    return () if fine or not left else ("no driver holds the campaign's lock; `campaign run` continues it",)


def _gone(plan: Plan, histories: Mapping[str, History]) -> tuple[str, ...]:
    """A line about placements of runs that were taken out of the campaign file."""
    gone = {name for name, history in histories.items() if history.handle} - {task.id for task in plan.tasks}
    return (f"{len(gone)} open placements are of runs that the campaign file no longer has",) if gone else ()


def _refusing(rests: Mapping[str, Rest]) -> tuple[str, ...]:
    """A line for each place that refused many starts in a row, and one where many places refused their newest."""
    many = [
        f"{place or 'a host'} refused {rest.refusals} starts in a row: {rest.reason}"
        for place, rest in rests.items()
        if rest.refusals >= MANY
    ]
    if len(rests) >= MANY:
        newest = max(rests.values(), key=lambda rest: rest.at)
        many.append(f"{len(rests)} devices or hosts refuse what is started there; the newest: {newest.reason}")
    return tuple(many)


def _is_stuck(row: TaskStatus, task: Task) -> bool:
    return row.silent_s is not None and row.silent_s > STUCK_S + task.longest_s


def _eta_s(journal: Journal, share: float, now: float) -> float | None:
    started = journal.started_at()
    if started is None or not 0 < share < 1:
        return None
    return max(0.0, (now - started) * (1 - share) / share)
