"""What is wrong with a run's record: the error about a part of it, and entries that its log of events knows of."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from inferencebench.errors import UserError
from inferencebench.files import sha256_json
from inferencebench.run.events import EventLog

LOG = "events.jsonl"


def damaged(path: Path, what: str) -> UserError:
    """The error about a part of a record that cannot be used."""
    return UserError(f"{path}: missing or damaged ({what}); run it again")


def name_in_log(directory: Path, event: str, entry: Any) -> None:
    """Let the log of a run know of an entry that was just appended to another of its files.

    The entry comes first: one that a kill kept from the log is there all the same."""
    EventLog(directory / LOG).append(event, sha256=sha256_json(entry))


def check_named(directory: Path, event: str, path: Path, entries: Iterable[Any]) -> None:
    """Whether `path`, which holds `entries`, has all that the log names by `event`; older versions named none.

    Raises UserError when one is gone, or is another than it was."""
    there = {sha256_json(entry) for entry in entries}
    log = [row for row in EventLog(directory / LOG).read() if isinstance(row, dict)]
    gone = sum(row.get("event") == event and row.get("sha256") not in there for row in log)
    if gone:
        raise damaged(path, f"{gone} of the entries that {LOG} names are not in it")
