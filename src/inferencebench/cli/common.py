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

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines on stdout.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Campaign directory: all records go here.")]


PLAIN_WIDTH = 120
"""Columns of tables that go to a file or a pipe."""


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


def end_on_sigterm() -> None:
    """Make SIGTERM end the command like Ctrl-C, so that servers, mounts and locks are cleaned up."""

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
