"""`inferencebench demo`: a small campaign from nothing to a leaderboard, in minutes on a laptop."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inferencebench.cli.common import JsonOption, OutOption, notes, stderr, stdout
from inferencebench.cli.run import SandboxOption
from inferencebench.errors import UserError

if TYPE_CHECKING:
    from inferencebench.run.record import Result

SUITE = "laptop-mini"
SCENARIOS = ("decode", "prefill")
EXAMPLE = Path("examples/pick_fastest")


def demo(
    out: OutOption = Path("demo"),
    script: Annotated[
        Path | None,
        typer.Option(
            "--script", help=f"The script agent to run beside the engines; default: {EXAMPLE}.", metavar="DIR"
        ),
    ] = None,
    sandbox: SandboxOption = "auto",
    json: JsonOption = False,
) -> None:
    """Run the PyTorch baseline, llama.cpp and a tuned script on two scenarios, print the leaderboard, build its site.

    Example: inferencebench demo --out demo
    """
    from inferencebench.cli import request
    from inferencebench.cli.progress import LiveReporter
    from inferencebench.cli.results import results
    from inferencebench.cli.site import written
    from inferencebench.run import pipeline
    from inferencebench.suites.load import load

    suite = load(SUITE)
    agents = ["engine:pytorch", "engine:llamacpp", *_script_agent(script)]
    common = request.Common(out, sandbox)
    specs = [request.spec(suite, scenario, agent, common) for scenario in SCENARIOS for agent in agents]
    with LiveReporter(stderr()) as reporter:
        bench = request.bench(suite, common, reporter)
        finished = [pipeline.run(spec, bench) for spec in specs]
    results([out], json=json)
    built = written([out], out / "site")
    if not json:
        _where_time_went(finished)
        stdout().print(f"\nsite: {built.front}", highlight=False, markup=False, soft_wrap=True)
        stdout().print(f"records: {out}/   again: inferencebench results {out}", highlight=False, markup=False)


def _script_agent(script: Path | None) -> list[str]:
    """The script agent, none where the example is not there. Raises UserError when one was named that is none."""
    if ((script or EXAMPLE) / "solve.sh").is_file():
        return [f"script:{script or EXAMPLE}"]
    if script is not None:
        raise UserError(f"--script {script}: no solve.sh there; name a directory that holds one")
    notes([f"{EXAMPLE}: no solve.sh there, so the demo runs without a script agent"])
    return []


def _where_time_went(finished: Sequence["Result"]) -> None:
    """The phase budget: seconds by phase of each run."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        "run", "solve s", "measure s", "quality s", "all s", title="where the time went", title_justify="left"
    )
    for result in finished:
        cost = result.cost
        seconds = (cost.solve_s, cost.measure_s, cost.quality_s, cost.total_s)
        table.add_row(Text(f"{result.scenario} {result.agent}"), *(f"{value:.1f}" for value in seconds))
    stdout().print(table)
