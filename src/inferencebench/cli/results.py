"""`inferencebench results`: the leaderboard of finished runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inferencebench.cli.common import JsonOption, PairsOption, known, notes, pairs_of, print_json

if TYPE_CHECKING:
    from inferencebench.analysis.comparable import Located


def results(
    directories: Annotated[list[Path], typer.Argument(help="Campaign directories (what --out named).")],
    seed_pair: PairsOption = None,
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
    from inferencebench.analysis.runs import Run
    from inferencebench.analysis.tables.groups import board_notes, groups
    from inferencebench.cli.show import show_board

    found = collect(directories)
    notes(found.skipped)
    if not found.results:
        raise none_finished(directories)
    kept = _of_pairs(found.results, pairs_of(seed_pair))
    the_board = board(comparable(kept), regression)
    lines = groups(Run(directory, result) for directory, result in kept if result.repeat == 0)
    said = {
        suite: board_notes([line for line in lines if line.suite == suite])
        for suite in dict.fromkeys(line.suite for line in lines)
    }
    if json:
        print_json(
            {
                "cells": [c.model_dump(mode="json") for c in the_board.cells],
                "agents": [a.model_dump(mode="json") for a in the_board.agents],
                "notes": said,
            }
        )
    else:
        show_board(the_board, said)


def _of_pairs(found: Sequence["Located"], pairs: Sequence[str]) -> list["Located"]:
    """The results of these seed pairs; none: all. Raises UserError for a pair that no run has."""
    known("--seed-pair", set(pairs), {str(result.seed_pair) for _, result in found})
    return [one for one in found if not pairs or str(one[1].seed_pair) in pairs]
