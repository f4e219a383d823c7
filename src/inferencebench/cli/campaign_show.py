"""How campaigns are shown: the plan and the status, as tables or as JSON."""

from collections import Counter
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from inferencebench.cli.common import stdout

if TYPE_CHECKING:
    from inferencebench.campaign.plan import Plan
    from inferencebench.campaign.status import CampaignStatus


def plan_json(plan: "Plan") -> dict[str, object]:
    """The plan for machines: totals, and every run."""
    tasks = [
        {
            "id": t.id,
            "directory": str(t.directory),
            "after": t.after,
            "devices": t.devices,
            "estimated_s": t.estimated_s,
        }
        for t in plan.tasks
    ]
    return {
        "name": plan.campaign.name,
        "runs": len(plan.tasks),
        "baselines": sum(t.after is None for t in plan.tasks),
        "device_hours": round(plan.device_hours, 2),
        "estimated_usd": None if plan.usd is None else round(plan.usd, 2),
        "disk_gib": round(plan.disk_gib, 1),
        "tasks": tasks,
    }


def show_plan(plan: "Plan") -> None:
    """The plan for people: runs by suite, agent and condition, and one line of totals."""
    table = Table("suite", "agent", "condition", "runs", title=f"campaign {plan.campaign.name}", title_justify="left")
    counts = Counter((t.suite, t.agent, t.condition.name) for t in plan.tasks)
    for (suite, agent, condition), count in counts.items():
        table.add_row(Text(suite), Text(agent), Text(condition), str(count))
    stdout().print(table)
    baselines = sum(t.after is None for t in plan.tasks)
    stdout().print(
        f"{len(plan.tasks)} runs ({baselines} baselines first), about {plan.device_hours:.1f} device hours, "
        f"{_usd(plan.usd)}, {plan.disk_gib:.1f} GiB; executor {plan.campaign.executor.kind}",
        highlight=False,
    )


def show_status(found: "CampaignStatus") -> None:
    """The status for people: every run that was begun, what is stuck, and one line of totals."""
    table = Table(
        "run", "state", "outcome", "attempts", "where", "note", title=f"campaign {found.name}", title_justify="left"
    )
    for row in found.tasks:
        if row.state != "waiting" or row.note:
            note = f"stuck: silent for {row.silent_s:.0f} s" if row.directory in found.stuck else row.note
            outcome, where = row.outcome or "", Text(row.where)
            table.add_row(Text(row.directory), row.state.value, outcome, str(row.attempts), where, Text(note))
    if table.row_count:
        stdout().print(table)
    states = ", ".join(f"{count} {state}" for state, count in sorted(found.states.items()))
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(found.outcomes.items()))
    eta = f", about {found.eta_s / 60:.0f} min to go" if found.eta_s is not None else ""
    spent = f"{found.spent.device_hours:.2f} device hours, {_usd(found.spent.usd if found.priced else None)}"
    ending = f"; nothing more is placed: {found.stopped}" if found.stopped else ""
    text = f"{found.done_share:.0%} done: {states}{f' ({outcomes})' if outcomes else ''}{eta}; {spent}{ending}"
    stdout().print(text, highlight=False, soft_wrap=True)
    for warning in found.warnings:
        stdout().print(warning, style="yellow", highlight=False, markup=False, soft_wrap=True)


def _usd(usd: float | None) -> str:
    return "no price" if usd is None else f"${usd:.2f}"
