"""`inferencebench campaign`: plan, run, watch and cancel hundreds of runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inferencebench.cli.common import JsonOption, OutOption, print_json, stderr, stdout

if TYPE_CHECKING:
    from inferencebench.campaign.driver import Snapshot
    from inferencebench.campaign.plan import Plan
    from inferencebench.campaign.status import CampaignStatus

FileArgument = Annotated[Path, typer.Argument(help="Campaign file (TOML); see docs/campaigns.md.")]

app = typer.Typer(help="Plan, run and watch a matrix of runs on this machine or a scheduler.", no_args_is_help=True)


@app.command("plan")
def plan(file: FileArgument, json: JsonOption = False) -> None:
    """Print the runs of a campaign, with estimates of device hours, cost and disk. Runs nothing.

    Example: inferencebench campaign plan nightly.toml
    """
    from inferencebench.campaign import model
    from inferencebench.campaign import plan as planning

    the_plan = planning.plan(model.load(file))
    if json:
        print_json(_plan_json(the_plan))
    else:
        _show_plan(the_plan)


@app.command("run")
def run(file: FileArgument, out: OutOption = Path("runs"), json: JsonOption = False) -> None:
    """Start a campaign, or continue it where it was; baselines come first.

    Example: inferencebench campaign run nightly.toml --out runs
    """
    from inferencebench.campaign import model
    from inferencebench.campaign import plan as planning
    from inferencebench.campaign.driver import Driver
    from inferencebench.campaign.executors import registry
    from inferencebench.campaign.journal import FOLDER
    from inferencebench.campaign.status import status
    from inferencebench.errors import MissingError

    campaign = model.load(file)
    the_plan = planning.plan(campaign)
    executor = registry.get(campaign, out / FOLDER)
    probe = executor.probe()
    if not probe.ok:
        raise MissingError(f"executor {executor.name}: {probe.detail}; {probe.remedy}")
    out.mkdir(parents=True, exist_ok=True)
    try:
        with _Bar(the_plan) as bar:
            Driver(the_plan, out, executor, bar.show).run()
    finally:
        executor.close()
    _print(status(the_plan, out), json)


@app.command("status")
def status_command(file: FileArgument, out: OutOption = Path("runs"), json: JsonOption = False) -> None:
    """Print how far a campaign is: runs by state, outcomes, pace, spend, and what is stuck.

    Example: inferencebench campaign status nightly.toml --out runs --json
    """
    from inferencebench.campaign import model
    from inferencebench.campaign import plan as planning
    from inferencebench.campaign.status import status

    _print(status(planning.plan(model.load(file)), out), json)


@app.command("cancel")
def cancel(file: FileArgument, out: OutOption = Path("runs")) -> None:
    """End what a campaign has placed. `campaign run` continues it later.

    Example: inferencebench campaign cancel nightly.toml --out runs
    """
    from inferencebench.campaign import model
    from inferencebench.campaign.executors import registry
    from inferencebench.campaign.journal import FOLDER, Journal

    executor = registry.get(model.load(file), out / FOLDER)
    handles = [history.handle for history in Journal(out).histories().values() if history.handle]
    executor.cancel(handles)
    stdout().print(f"{len(handles)} placements told to end", highlight=False)


class _Bar:
    """One line of live progress on stderr."""

    def __init__(self, plan: "Plan") -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f} runs"),
            TimeElapsedColumn(), TextColumn("{task.fields[detail]}"), console=stderr(),
        )  # fmt: skip
        self._task = self._progress.add_task(plan.campaign.name, total=len(plan.tasks), detail="")

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        self._progress.stop()

    def show(self, snapshot: "Snapshot") -> None:
        """Redraw from the driver's newest view."""
        from inferencebench.campaign.journal import State

        states = list(snapshot.states.values())
        finished = states.count(State.DONE) + states.count(State.FAILED)
        detail = f"{states.count(State.RUNNING)} running, {states.count(State.FAILED)} given up"
        if snapshot.stopped:
            detail += f"; nothing more is placed: {snapshot.stopped}"
        self._progress.update(self._task, completed=finished, detail=detail)


def _plan_json(plan: "Plan") -> dict[str, object]:
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
        "estimated_usd": round(plan.usd, 2),
        "disk_gib": round(plan.disk_gib, 1),
        "tasks": tasks,
    }


def _show_plan(plan: "Plan") -> None:
    from collections import Counter

    from rich.table import Table
    from rich.text import Text

    table = Table("suite", "agent", "condition", "runs", title=f"campaign {plan.campaign.name}", title_justify="left")
    counts = Counter((t.suite, t.agent, t.condition.name) for t in plan.tasks)
    for (suite, agent, condition), count in counts.items():
        table.add_row(Text(suite), Text(agent), Text(condition), str(count))
    stdout().print(table)
    baselines = sum(t.after is None for t in plan.tasks)
    stdout().print(
        f"{len(plan.tasks)} runs ({baselines} baselines first), about {plan.device_hours:.1f} device hours, "
        f"${plan.usd:.2f}, {plan.disk_gib:.1f} GiB; executor {plan.campaign.executor.kind}",
        highlight=False,
    )


def _print(found: "CampaignStatus", json: bool) -> None:
    if json:
        print_json(found)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("run", "state", "outcome", "attempts", "note", title=f"campaign {found.name}", title_justify="left")
    for row in found.tasks:
        if row.state != "waiting":
            note = row.note or (f"silent for {row.silent_s:.0f} s" if row.directory in found.stuck else "")
            table.add_row(Text(row.directory), row.state.value, row.outcome or "", str(row.attempts), Text(note))
    if table.row_count:
        stdout().print(table)
    states = ", ".join(f"{count} {state}" for state, count in sorted(found.states.items()))
    eta = f", about {found.eta_s / 60:.0f} min to go" if found.eta_s is not None else ""
    stdout().print(f"{found.done_share:.0%} done: {states}{eta}; spent ${found.spent_usd:.2f}", highlight=False)
