"""Finding result records under campaign directories; what cannot be read is said, and the rest still counts."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from inferencebench.errors import UserError
from inferencebench.run.record import Result
from inferencebench.suites.unreadable import unreadable


class Found(NamedTuple):
    """Results with their directories, and one line for each record that was skipped."""

    results: list[tuple[Path, Result]]
    skipped: list[str]


def none_finished(directories: Iterable[Path]) -> UserError:
    """The error about directories without a finished run."""
    return UserError(f"{', '.join(map(str, directories))}: no finished run there; name what --out named")


def collect(directories: Iterable[Path]) -> Found:
    """All `result.json` below the directories (hidden folders and run internals left out), each run directory once
    however often and by whatever name it is given.

    Raises UserError for a directory that does not exist."""
    results: list[tuple[Path, Result]] = []
    skipped: list[str] = []
    seen: set[Path] = set()
    for root in directories:
        if not root.is_dir():
            raise UserError(f"{root}: no such directory; name a campaign's output directory")
        for folder, folders, names in os.walk(root):
            if "spec.json" in names:
                folders[:] = [f for f in folders if f.startswith("r") and f[1:].isdigit()]
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            here = Path(folder).resolve()
            if here in seen:
                continue
            seen.add(here)
            if "result.json" in names:
                path = Path(folder) / "result.json"
                try:
                    results.append((path.parent, Result.model_validate_json(path.read_bytes())))
                except (OSError, ValueError) as error:
                    skipped.append(f"{path}: skipped, {unreadable(error, Result)}")
            elif "spec.json" in names:
                skipped.append(f"{folder}: skipped, the run is not finished")
    return Found(results, skipped)
