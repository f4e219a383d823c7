"""What every verb shares: consoles, common options, JSON output, and the error contract."""

import json
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from inferencebench.errors import UserError

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines on stdout.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Campaign directory: all records go here.", metavar="DIR")]
PairsOption = Annotated[
    list[str] | None, typer.Option("--seed-pair", help="Only runs of this pair, DEV,EVAL; may be repeated.")
]

EXIT_INTERRUPTED = 130
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
PLAIN_WIDTH = 120
"""Columns of tables that go to a file or a pipe."""


def duration_s(text: str) -> float:
    """Seconds from `90s`, `30m`, `2h` or a bare number of seconds.

    Raises UserError for anything else."""
    number, unit = (text[:-1], text[-1]) if text and text[-1] in UNITS else (text, "s")
    try:
        seconds = float(number) * UNITS[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise UserError(f"{text!r} is not a duration; write it as 90s, 30m or 2h")
    return seconds


def stdout() -> Console:
    """Results go here."""
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def stderr() -> Console:
    """Progress, notes and errors go here."""
    return Console(stderr=True)


def print_json(value: BaseModel | dict[str, Any] | list[Any]) -> None:
    """One JSON document on stdout."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def notes(lines: Iterable[str]) -> None:
    """Plain lines on stderr."""
    for line in lines:
        stderr().print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)


def pairs_of(given: Iterable[str] | None) -> tuple[str, ...]:
    """Seed pairs of the command line, `DEV,EVAL`, as records write them."""
    return tuple(pair.replace(",", "-") for pair in given or ())


def known(option: str, wanted: set[str], there: set[str]) -> None:
    """Raises UserError for values of `option` that no run has, naming those there are."""
    if unknown := wanted - there:
        raise UserError(f"{option}: no run has {', '.join(sorted(unknown))}; there are {', '.join(sorted(there))}")


def end_on_sigterm() -> None:
    """Make SIGTERM end the command like Ctrl-C, so that servers, mounts and locks are cleaned up."""

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


class _Command(TyperCommand):
    """A verb whose help is set by paragraph, and shows switches as such: typer's own says `--json <bool>`."""

    def __init__(self, *args: Any, help: str | None = None, **options: Any) -> None:
        super().__init__(*args, help=_paragraphs(help), **options)

    def get_params(self, ctx: Any) -> list[Any]:
        return _named(super().get_params(ctx))


class _Group(TyperGroup):
    """The same of a group of verbs."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _named(super().get_params(ctx))


def _named(params: Iterable[Any]) -> list[Any]:
    """Switches name no type, and arguments are written in capitals."""
    found = list(params)
    for param in found:
        if getattr(param, "is_flag", False):
            param.metavar = ""
        elif param.param_type_name == "argument" and param.metavar is None:
            param.metavar = param.name.upper()
    return found


def _paragraphs(text: str | None) -> str | None:
    """A docstring whose lines end where a paragraph does: a terminal is not as wide as the source."""
    return text and "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def plain_help(app: typer.Typer) -> None:
    """Have all verbs of `app`, and of its groups, show their help as `_Command` says."""
    app.info.cls = _Group
    for command in app.registered_commands:
        command.cls = _Command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            plain_help(group.typer_instance)
