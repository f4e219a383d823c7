"""`inferencebench trace`: what an agent did, when, and what it gave."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from inferencebench.cli.common import JsonOption, notes, print_json, stdout


def trace(
    run: Annotated[Path, typer.Argument(help="A run directory: the one that holds spec.json.")],
    json: JsonOption = False,
) -> None:
    """Show a session on a timeline: steps, tools, commands, results, evaluations. --json: an ATIF 1.8 document.

    Example: inferencebench trace runs/laptop/decode/script-solve-1a2b3c4d/default/21-1337
    """
    from inferencebench.run.trace import Trace

    found = Trace(run)
    notes([f"{found.damaged} steps cannot be read and are left out"] if found.damaged else [])
    if json:
        print_json(found.atif())
        return
    title = f"{found.spec.agent} ({found.spec.condition.name})"
    stdout().print(title, style="italic", highlight=False, markup=False, soft_wrap=True)
    table = Table("time", "what", "", box=None)
    for at_s, what, line in found.rows():
        minutes, seconds = divmod(int(at_s or 0), 60)
        when = "" if at_s is None else f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
        table.add_row(when, Text(what, style="bold" if what == "evaluation" else ""), Text(line))
    stdout().print(table)
