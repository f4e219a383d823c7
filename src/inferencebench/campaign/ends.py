"""What the end of a placement means, by its status, the run's record, and the preflight that the run left."""

from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from inferencebench.campaign import refusals
from inferencebench.campaign.executors.contract import Life, Status
from inferencebench.campaign.history import History
from inferencebench.campaign.journal import log_of, outcome, settled
from inferencebench.campaign.plan import Task
from inferencebench.campaign.refusals import Refusal

EXIT_INPUT = 2


class End(StrEnum):
    """What the end of a placement without a result means."""

    AGAIN = "again"
    """Infrastructure: retried, within the attempts."""
    HOPELESS = "hopeless"
    """The input is wrong: the same command would say the same."""


def meaning(status: Status) -> End:
    """The table: only the command itself, by exit code 2, says that its input is wrong."""
    return End.HOPELESS if status.life is Life.ENDED and status.exit_code == EXIT_INPUT else End.AGAIN


class Ending(NamedTuple):
    """The end of one placement."""

    reason: str
    infrastructure: bool
    """A failure that uses up an attempt."""
    refusal: Refusal | None
    """A start that was refused, which uses up none."""
    hopeless: bool


def ending(out: Path, task: Task, history: History, status: Status, *, cancelled: bool, attached: bool) -> Ending:
    """What a placement's end is. `attached`: placements end with their driver, so that a lost one is no failure."""
    interrupted = status.life is Life.LOST and attached and not cancelled
    reason = status.reason or ("it ended with its driver" if interrupted else status.life)
    if settled(out, task):
        return Ending(reason, False, None, False)
    found = outcome(out, task)
    reason = f"{reason}: {f'the baseline is {found}' if found else _last_line(log_of(out, task.id))}"
    if cancelled or history.withdrawn:
        return Ending(f"{'cancelled' if cancelled else 'withdrawn'}; {reason}", False, None, False)
    if meaning(status) is End.HOPELESS:
        return Ending(reason, False, None, True)
    where = status.where or history.where
    refusal = refusals.read(out / task.directory, status, where, history.preflight_ns)
    return Ending(reason, not (interrupted or refusal), refusal, False)


def _last_line(log: Path) -> str:
    """What the command said last; only the end of the file is read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return "no log"
    return next((line.strip() for line in reversed(lines) if line.strip()), "an empty log")[:300]
