"""Rows of public data sets: from a local JSONL file, or from the hub through `datasets`."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from inferencebench.errors import MissingError, UserError


def local_rows(source: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of a JSONL file. Raises `UserError` for a missing or damaged one."""
    if not source.is_file():
        raise UserError(f"{source}: no such file; give a JSONL file of the data set's rows, or none to use the hub")
    with source.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise UserError(f"{source}:{number}: not a JSON object; a JSONL file has one row a line")
            yield row


def hub_rows(repo: str, split: str) -> Iterable[Mapping[str, Any]]:
    """The rows of a hub data set. Raises `MissingError` without `datasets` or without a way to the hub."""
    try:
        from datasets import load_dataset
    except ImportError:
        raise MissingError(f"{repo} needs the datasets package: pip install 'inferencebench[hub]'") from None
    try:
        rows: Iterable[Mapping[str, Any]] = load_dataset(repo, split=split)
    except Exception as error:  # datasets passes on whatever its transport raises
        raise MissingError(
            f"{repo}: the hub gave no data ({type(error).__name__}); check the network, or give a local JSONL file"
        ) from error
    return rows
