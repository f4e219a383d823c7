"""The tables of `inferencebench tables`, by the same code, for every board of the site."""

from collections.abc import Sequence
from typing import NamedTuple

from inferencebench.analysis.runs import Run, Runs
from inferencebench.analysis.tables import render
from inferencebench.analysis.tables.model import Options, Table
from inferencebench.analysis.tables.registry import FAMILIES
from inferencebench.errors import UserError
from inferencebench.site.boards import Boards
from inferencebench.site.model import BoardView, RunRow


class Shown(NamedTuple):
    """One table for a page: its texts, and which columns are numbers."""

    table: Table
    file: str
    """Name of its downloads, less the suffix."""
    head: list[str]
    rows: list[list[str]]
    numeric: list[bool]


class BoardTables(NamedTuple):
    """All tables of a board; of those without a row, why."""

    view: BoardView
    shown: list[Shown]
    empty: list[tuple[str, str]]


def of_boards(found: Boards, rows: Sequence[RunRow]) -> list[BoardTables]:
    """The tables of every board."""
    return [_of_board(view, found, [row for row in rows if row.board == view.id]) for view in found.views]


def _of_board(view: BoardView, found: Boards, rows: Sequence[RunRow]) -> BoardTables:
    entering = [_run(found, row) for row in rows if row.on_board]
    repeats = [_run(found, row) for row in rows if row.repeat]
    runs = Runs(entering, repeats, [])
    shown, empty = [], []
    for family in FAMILIES.values():
        try:
            table = family.table(runs, Options())
        except UserError as error:
            empty.append((family.title, str(error)))
            continue
        if not table.rows:
            empty.append((family.title, "; ".join(table.notes) or "no run that it counts"))
            continue
        head, *body = render.grid(table)
        numeric = [render.numeric(table, column) for column in table.columns]
        shown.append(Shown(table, f"{view.id}-{table.name}", head, body, numeric))
    return BoardTables(view, shown, empty)


def _run(found: Boards, row: RunRow) -> Run:
    """The run as the tables see it; what was read of its directory for its page is not read again."""
    behind = found.runs[row.id]
    run = Run(behind.directory, behind.result)
    if row.conduct is not None:
        run.__dict__["conduct"] = row.conduct
    return run


def files(boards: Sequence[BoardTables]) -> dict[str, bytes]:
    """File name → content: every table as CSV, and as JSON with the runs behind each value."""
    content: dict[str, bytes] = {}
    for one in (shown for board in boards for shown in board.shown):
        content[f"{one.file}.csv"] = render.comma_separated(one.table).encode("utf-8", "replace")
        content[f"{one.file}.json"] = render.as_json(one.table).encode("utf-8", "replace")
    return content
