"""`inferencebench results`: the leaderboard of finished runs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from inferencebench.cli.common import JsonOption, notes, print_json


def results(
    directories: Annotated[list[Path], typer.Argument(help="Campaign directories (what --out named).")],
    regression: Annotated[
        Literal["floor", "raw"], typer.Option(help="floor: slower than the baseline counts 1.0; raw: as measured.")
    ] = "floor",
    json: JsonOption = False,
) -> None:
    """Print the leaderboard: mean speedup ± SEM per scenario, their geometric mean, and the outcomes.

    Example: inferencebench results demo --json
    """
    from inferencebench.analysis.collect import collect, none_finished
    from inferencebench.analysis.comparable import comparable
    from inferencebench.analysis.leaderboard import board
    from inferencebench.cli.show import show_board

    found = collect(directories)
    notes(found.skipped)
    if not found.results:
        raise none_finished(directories)
    the_board = board(comparable(found.results), regression)
    if json:
        print_json(
            {
                "cells": [c.model_dump(mode="json") for c in the_board.cells],
                "agents": [a.model_dump(mode="json") for a in the_board.agents],
            }
        )
    else:
        show_board(the_board)
