"""`inferencebench campaign`: plan, run, watch and cancel hundreds of runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inferencebench.cli.campaign_show import plan_json, show_plan, show_status
from inferencebench.cli.common import JsonOption, OutOption, print_json, stderr, stdout

if TYPE_CHECKING:
    from inferencebench.campaign.driver import Snapshot
    from inferencebench.campaign.plan import Plan

FileArgument = Annotated[Path, typer.Argument(help="Campaign file (TOML); see docs/campaigns.md.")]

WATCH_S = 5.0

app = typer.Typer(
    help="Plan, run and watch a matrix of runs on this machine or a scheduler.",
    epilog="Example: inferencebench campaign plan nightly.toml",
    no_args_is_help=True,
)


@app.command("plan")
def plan(file: FileArgument, json: JsonOption = False) -> None:
    """Print the runs of a campaign, with estimates of device hours, cost and disk. Runs nothing.

    Example: inferencebench campaign plan nightly.toml
    """
    from inferencebench.campaign.check import checked

    the_plan = checked(file)
    if json:
        print_json(plan_json(the_plan))
    else:
        show_plan(the_plan)


@app.command("run")
def run(
    file: FileArgument,
    out: OutOption = Path("runs"),
    retry: Annotated[bool, typer.Option("--retry", help="Also try again what was given up.")] = False,
    json: JsonOption = False,
) -> None:
    """Start a campaign, or continue it where it was; baselines come first. Exit code 1 when runs were given up.

    Example: inferencebench campaign run nightly.toml --out runs
    """
    from inferencebench.campaign.check import checked
    from inferencebench.campaign.driver import Driver
    from inferencebench.campaign.executors import registry
    from inferencebench.campaign.journal import FOLDER
    from inferencebench.campaign.status import status
    from inferencebench.errors import MissingError

    the_plan = checked(file)
    executor = registry.get(the_plan.campaign, out / FOLDER)
    probe = executor.probe()
    if not probe.ok:
        raise MissingError(f"executor {executor.name}: {probe.detail}; {probe.remedy}")
    out.mkdir(parents=True, exist_ok=True)
    try:
        with _Bar(the_plan) as bar:
            Driver(the_plan, out, executor, bar.show).run(retry=retry)
    finally:
        executor.close()
    found = status(the_plan, out)
    if json:
        print_json(found)
    else:
        show_status(found)
    if given_up := found.states.get("failed", 0):
        stderr().print(f"{given_up} runs were given up; `campaign run --retry` tries them again", markup=False)
        raise typer.Exit(1)


@app.command("status")
def status_command(
    file: FileArgument,
    out: OutOption = Path("runs"),
    watch: Annotated[bool, typer.Option("--watch", help="Again every few seconds, until Ctrl-C.")] = False,
    json: JsonOption = False,
) -> None:
    """Print how far a campaign is: runs by state, outcomes, pace, spend, and what is stuck.

    Example: inferencebench campaign status nightly.toml --out runs --json
    """
    import time

    from inferencebench.campaign.check import planned
    from inferencebench.campaign.status import status

    the_plan = planned(file)
    while watch:
        stdout().clear()
        show_status(status(the_plan, out))
        time.sleep(WATCH_S)
    if json:
        print_json(status(the_plan, out))
    else:
        show_status(status(the_plan, out))


@app.command("cancel")
def cancel(file: FileArgument, out: OutOption = Path("runs"), json: JsonOption = False) -> None:
    """End what a campaign has placed, and wait until it has ended. `campaign run` continues it later.

    Example: inferencebench campaign cancel nightly.toml --out runs
    """
    from inferencebench.campaign import cancel as cancelling
    from inferencebench.campaign.check import naming, planned
    from inferencebench.campaign.executors import registry
    from inferencebench.campaign.journal import FOLDER
    from inferencebench.errors import InfrastructureError
    from inferencebench.run.machine import counted

    the_plan = planned(file)
    with naming(file):
        executor = registry.get(the_plan.campaign, out / FOLDER)
    try:
        done = cancelling.cancel(the_plan, out, executor)
    finally:
        executor.close()
    if done.left:
        names = ", ".join(done.left[:3]) + (", …" if len(done.left) > 3 else "")
        raise InfrastructureError(
            f"{counted(len(done.left), 'placement')} not ended yet: {names}; run cancel again, or see the scheduler"
        )
    if json:
        print_json({"ended": done.told})
    else:
        stdout().print(f"{done.told} placements ended; `campaign run` continues", highlight=False)


@app.command("sync")
def sync(
    file: FileArgument,
    to: Annotated[
        str, typer.Argument(help="Where to: s3://bucket/prefix, sftp://host/path, gs://…, file:///path or a path.")
    ],
    out: OutOption = Path("runs"),
    option: Annotated[
        list[str] | None, typer.Option("--option", help="NAME=VALUE for the file system, such as endpoint_url=…")
    ] = None,
    disclose: Annotated[
        bool, typer.Option("--disclose", help="Also the salt and the eval sets; refused while runs are left.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Copy the records of a campaign to an object store or another host. Again: only what is new or changed.

    Finished runs only. Never copied: keys, locks, and without --disclose the salt and the eval sets.

    Example: inferencebench campaign sync nightly.toml s3://bucket/nightly --out runs
    """
    from inferencebench.campaign.check import planned
    from inferencebench.campaign.sync import sync as synchronize
    from inferencebench.campaign.target import target

    report = synchronize(planned(file), out, target(to, option or []), disclose=disclose)
    if json:
        print_json(report)
        return
    stdout().print(
        f"{report.copied} files copied ({report.copied_bytes / 2**20:.1f} MiB), {report.same} were there; "
        f"{report.finished} finished runs at {to}; {report.sealed} files of the eval side held back",
        highlight=False,
    )


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
        if snapshot.spent.usd:
            detail += f", ${snapshot.spent.usd:.2f}"
        if snapshot.stopped:
            detail += f"; nothing more is placed: {snapshot.stopped}"
        self._progress.update(self._task, completed=finished, detail=detail)
