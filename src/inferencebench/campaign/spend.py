"""What a campaign has used: device time from its log, API cost from its runs; and whether that is enough."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from inferencebench.campaign.history import History
from inferencebench.campaign.journal import first_event_at, last_sign_at, run_end
from inferencebench.campaign.model import Campaign
from inferencebench.campaign.plan import Plan, Task
from inferencebench.suites.model import Record


class Spend(Record):
    """Used so far."""

    device_hours: float
    """Of devices (of machines, for CPU runs), by all placements: also those that failed, and those that run."""
    machine_usd: float
    """The device hours at the campaign's rate."""
    api_usd: float
    """As the finished runs say; a run under way says it at its end."""
    usd: float
    """Both together."""


def limit_s(campaign: Campaign, task: Task) -> float:
    """The time limit of one placement, seconds."""
    return task.longest_s * campaign.executor.time_margin


def ran_s(history: History, now: float, limit: float) -> float:
    """Seconds for which the open placement has run, at most its limit: a driver that was away saw the end late."""
    return 0.0 if history.began_at is None else min(max(0.0, now - history.began_at), limit)


def ran_until_s(out: Path, task_id: str, history: History, limit: float, now: float, seen_at: float = 0.0) -> float:
    """The same for a placement of which nobody measured how long it ran: from when it was seen to begin, or its run's
    first event, until its run's last sign of life, or `seen_at` (epoch seconds), when it was last seen to run."""
    began_at = history.began_at or first_event_at(out, history.directory, history.since_at)
    if began_at is None:
        return 0.0
    sign = last_sign_at(out, task_id, history.directory)
    until = now if sign is None else min(now, max(sign, seen_at))
    return min(max(0.0, until - began_at), limit)


def ended_s(history: History, measured: float, now: float) -> float:
    """Seconds for which a placement that ended ran since the scheduler last began it, by who `measured` it: what it ran
    until a restart was noticed has been counted."""
    return min(measured, max(0.0, now - history.since_at)) if history.restarts else measured


def spend(plan: Plan, out: Path, histories: Mapping[str, History], now: float, *, watched: bool = True) -> Spend:
    """What the campaign in `out` has used until `now` (epoch seconds), by runs that the file no longer has, too.
    `watched`: a driver sees what runs; without one it is counted until its last sign of life."""
    tasks = {task.id: task for task in plan.tasks}
    device_s = api_usd = 0.0
    for name in {**tasks, **histories}:
        task, history = tasks.get(name), histories[name]
        devices, directory, limit = history.devices, Path(history.directory), history.limit_s
        if task:
            devices, directory, limit = task.devices, task.directory, limit_s(plan.campaign, task)
        open_s = 0.0
        if history.handle:
            open_s = ran_s(history, now, limit) if watched else ran_until_s(out, name, history, limit, now)
        device_s += (history.ran_s + open_s) * max(devices, 1)
        end = run_end(out, directory)
        api_usd += end.api_usd if end else 0.0
    hours = device_s / 3600
    machine_usd = hours * plan.campaign.rates.device_usd_per_hour
    return Spend(device_hours=hours, machine_usd=machine_usd, api_usd=api_usd, usd=machine_usd + api_usd)


def stop(campaign: Campaign, spent: Spend) -> str | None:
    """Why nothing more is placed; None: the bounds allow more."""
    bounds = campaign.bounds
    if bounds.max_usd is not None and spent.usd >= bounds.max_usd:
        return f"spent ${spent.usd:.2f} of ${bounds.max_usd:.2f}"
    if bounds.max_device_hours is not None and spent.device_hours >= bounds.max_device_hours:
        return f"used {spent.device_hours:.2f} of {bounds.max_device_hours:.2f} device hours"
    return None


def affordable(plan: Plan, ready: Sequence[Task], spent: Spend, histories: Mapping[str, History], now: float) -> int:
    """How many of `ready`, in their order, the bounds allow: while what is spent and what the open placements are still
    expected to take stay below, and one where nothing is open."""
    expected, count = spent, 0
    open_ = [task for task in plan.tasks if histories[task.id].handle]
    for task in open_:
        expected = _plus(plan.campaign, expected, task, ran_s(histories[task.id], now, task.estimated_s))
    for task in ready:
        if (open_ or count) and stop(plan.campaign, expected):
            break
        expected, count = _plus(plan.campaign, expected, task, 0.0), count + 1
    return count


def _plus(campaign: Campaign, spent: Spend, task: Task, done_s: float) -> Spend:
    """With what a run is expected to take beyond its first seconds, which are in it; API cost comes at a run's end."""
    done, whole = (seconds * max(task.devices, 1) / 3600 for seconds in (done_s, task.estimated_s))
    usd = task.estimated_usd - done * campaign.rates.device_usd_per_hour
    return spent.model_copy(update={"device_hours": spent.device_hours + whole - done, "usd": spent.usd + usd})
