"""`inferencebench export`: suites and runs in the formats of other tools."""

from pathlib import Path
from typing import Annotated

import typer

from inferencebench.cli.common import JsonOption, notes, print_json, stdout
from inferencebench.cli.run import BudgetOption, EngineOnlyOption, SeedOption, StartOption

app = typer.Typer(
    help="Suites as Harbor tasks; runs as Inspect logs and ATIF trajectories.",
    epilog="Example: inferencebench export atif runs -o trajectories",
    no_args_is_help=True,
)

OutArgument = Annotated[Path, typer.Option("--out", "-o", help="Directory that the files go to.", metavar="DIR")]
RunsArgument = Annotated[list[Path], typer.Argument(help="Campaign directories (what --out named), or runs.")]


@app.command("harbor")
def harbor(
    suite: Annotated[str, typer.Argument(help="Name of a built-in suite, or a TOML file.")],
    scenarios: Annotated[list[str] | None, typer.Argument(help="Scenarios; without any, all of the suite.")] = None,
    out: OutArgument = Path("harbor"),
    seed_pair: SeedOption = None,
    budget: BudgetOption = None,
    start: StartOption = "empty",
    engine_only: EngineOnlyOption = None,
    json: JsonOption = False,
) -> None:
    """Write Harbor task directories, one per scenario and seed pair, each with a verifier in a container of its own.

    Example: inferencebench export harbor laptop decode -o tasks
    """
    from inferencebench.cli import request
    from inferencebench.export.harbor import write_task
    from inferencebench.suites.load import load
    from inferencebench.suites.load import scenario as find_scenario

    the_suite = load(suite)
    condition = request.condition(budget, "default", start, engine_only)
    names = scenarios or [s.name.value for s in the_suite.scenarios]
    pairs = the_suite.seed_pairs if seed_pair is None else (request.seed_pair(seed_pair, the_suite),)
    wanted = [(find_scenario(the_suite, name), pair) for name in names for pair in pairs]
    _said([write_task(out, suite, scenario, pair, condition) for scenario, pair in wanted], "tasks", json)


@app.command("inspect")
def inspect(directories: RunsArgument, out: OutArgument = Path("inspect-logs"), json: JsonOption = False) -> None:
    """Write Inspect logs (`.eval`), one per suite, agent and condition, a sample per run; transcripts are redacted.

    Needs the package inspect_ai. Example: inferencebench export inspect runs -o logs && inspect view --log-dir logs
    """
    from inferencebench.analysis.collect import collect, none_finished
    from inferencebench.export.inspect import write_logs

    found = collect(directories)
    notes(found.skipped)
    if not found.results:
        raise none_finished(directories)
    _said(write_logs(found.results, out), "logs", json)


@app.command("atif")
def atif(directories: RunsArgument, out: OutArgument = Path("atif"), json: JsonOption = False) -> None:
    """Write the sessions of runs as ATIF 1.8 documents, one JSON file a run; texts are redacted.

    Example: inferencebench export atif runs -o trajectories
    """
    from inferencebench.analysis.collect import collect, none_finished
    from inferencebench.export.atif import write_documents

    found = collect(directories)
    notes(found.skipped)
    if not found.results:
        raise none_finished(directories)
    written = write_documents(found.results, out)
    notes(written.skipped)
    _said(written.paths, "trajectories", json)


def _said(paths: list[Path], what: str, json: bool) -> None:
    if json:
        print_json({what: [str(path) for path in paths]})
        return
    for path in paths:
        stdout().print(str(path), highlight=False, markup=False, soft_wrap=True)
