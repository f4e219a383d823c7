"""`inferencebench rescore`: judge finished runs again from their stored samples and answers."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from inferencebench.cli.common import JsonOption, notes, print_json, stdout
from inferencebench.errors import InfrastructureError, UserError


def rescore(
    directories: Annotated[list[Path], typer.Argument(help="Campaign or run directories.")],
    tau: Annotated[float | None, typer.Option(help="Quality threshold instead of the suite's, from 0.01 to 1.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Replace the stored results.")] = False,
    json: JsonOption = False,
) -> None:
    """Recompute integrity, quality, outcome and score without running anything; show what changes.

    A damaged run is said and left out; exit code 2 when no run could be judged.

    Example: inferencebench rescore demo --tau 0.8
    """
    from inferencebench.analysis.collect import collect
    from inferencebench.run.judge import write_result
    from inferencebench.run.pipeline import rejudge

    if tau is not None and not 0.01 <= tau <= 1:
        raise UserError(f"--tau {tau:g}: expected a number from 0.01 to 1")
    found = collect(directories)
    notes(found.skipped)
    pairs = []
    for directory, old in found.results:
        try:
            new = rejudge(directory, tau)
        except (UserError, InfrastructureError) as error:
            notes([f"{directory}: skipped, {error}"])
            continue
        pairs.append((old, new))
        if write:
            write_result(directory, new)
    if not pairs:
        raise UserError(f"{', '.join(map(str, directories))}: no run there could be judged")
    if json:
        print_json([new.model_dump(mode="json") for _, new in pairs])
        return
    table = Table("agent", "scenario", "seeds", "outcome", "speedup", "now", "speedup now")
    for old, new in pairs:
        changed = "bold yellow" if old.outcome is not new.outcome else ""
        seeds, before, now = str(new.seed_pair), f"{old.speedup:.2f}", f"{new.speedup:.2f}"
        agent, scenario = Text(new.agent), Text(new.scenario)
        table.add_row(agent, scenario, seeds, old.outcome, before, new.outcome, now, style=changed)
    stdout().print(table)
