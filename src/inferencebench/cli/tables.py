"""`inferencebench tables`: every table of the paper, and more, from run records."""

import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inferencebench.cli.common import JsonOption, PairsOption, known, notes, pairs_of, print_json
from inferencebench.cli.modes import given
from inferencebench.errors import UserError

if TYPE_CHECKING:
    from inferencebench.analysis.runs import Run
    from inferencebench.analysis.tables.model import Options


class Format(StrEnum):
    """How a table is written."""

    TEXT = "text"
    MD = "md"
    CSV = "csv"
    JSON = "json"
    LATEX = "latex"


def tables(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A table's name, or `list`.")],
    directories: Annotated[list[Path] | None, typer.Argument(help="Campaign directories (what --out named).")] = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="How the table is written.")] = Format.TEXT,
    suite: Annotated[str | None, typer.Option(help="Only runs of this suite.")] = None,
    seed_pair: PairsOption = None,
    condition: Annotated[str, typer.Option(help="The condition shown by tables of one condition; `all`.")] = "default",
    regression: Annotated[
        Literal["floor", "raw"], typer.Option(help="floor: slower than the baseline counts 1.0; raw: as measured.")
    ] = "floor",
    gpu_usd_per_h: Annotated[
        float | None, typer.Option(help="Price of a device hour, USD; default: 1.99 for a GPU.", min=0)
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="The published values of this table, as JSON.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Print a table made from run records; in JSON every value names the runs behind it.

    Example: inferencebench tables main demo --format md
    """
    from inferencebench.analysis import published as paper
    from inferencebench.analysis.collect import none_finished
    from inferencebench.analysis.runs import load
    from inferencebench.analysis.tables.model import Options
    from inferencebench.analysis.tables.registry import FAMILIES, find
    from inferencebench.analysis.tables.render import FORMATS

    if name == "list":
        _check_list(given(context), directories, format)
        rows = [{"name": f.name, "title": f.title, "source": f.source} for f in FAMILIES.values()]
        if json or format is Format.JSON:
            print_json({"tables": rows})
        else:
            sys.stdout.writelines(f"{r['name']:<18}{r['source']:<10}{r['title']}\n" for r in rows)
        return
    family = find(name)
    if published:
        try:
            print_json(paper.table(name))
        except KeyError:
            raise UserError(f"{name}: the paper has no such table") from None
        return
    if not directories and name != "parameters":
        raise UserError(f"tables {name}: name the campaign directories to read, e.g. inferencebench tables {name} demo")
    runs = load(directories or [])
    notes(runs.skipped)
    every = (*runs.runs, *runs.repeats)
    if directories and not every:
        raise none_finished(directories)
    options = Options(
        suite=suite,
        seed_pairs=pairs_of(seed_pair),
        condition=condition,
        regression=regression,
        gpu_usd_per_h=gpu_usd_per_h,
    )
    if name != "parameters":
        _check(options, every)
    table = family.table(runs, options)
    sys.stdout.write(FORMATS["json" if json else format.value](table))


def _check_list(words: Sequence[str], directories: Sequence[Path] | None, format: Format) -> None:
    """Raises UserError for what says nothing about the list of tables."""
    others = [str(directory) for directory in directories or ()]
    others += [word for word in words if word not in ("--format", "--json")]
    if others:
        raise UserError(f"tables list: names the tables there are; leave out {', '.join(others)}")
    if format not in (Format.TEXT, Format.JSON):
        raise UserError(f"tables list: is written as text or json, not as {format.value}")


def _check(options: "Options", runs: Sequence["Run"]) -> None:
    """Raises UserError for an option that leaves no run, naming what there is."""
    filters: tuple[tuple[str, set[str], Callable[[Run], str]], ...] = (
        ("--suite", {options.suite} if options.suite is not None else set(), lambda run: run.result.suite),
        ("--seed-pair", set(options.seed_pairs), lambda run: run.pair),
        ("--condition", {options.condition} - {"default", "all"}, lambda run: run.result.condition),
    )
    for option, wanted, of in filters:
        known(option, wanted, {of(run) for run in runs})
        runs = [run for run in runs if not wanted or of(run) in wanted]
