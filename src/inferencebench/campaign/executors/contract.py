"""The executor contract.

A placement is one try to run one task's command. Its handle is a string that a later process of the same user can poll
and cancel, so that a driver that was killed finds its placements again. An executor never retries by itself.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from inferencebench.sandbox.contract import Probe


class Life(StrEnum):
    """The life of a placement."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"
    """The executor knows nothing of it: ended long ago, or taken by a restart of the scheduler."""


class Status(NamedTuple):
    """Where a placement is, and how it ended."""

    life: Life
    exit_code: int | None = None
    """Of the command, where known; negative: killed by that signal."""
    reason: str = ""
    """In the executor's own words: `NODE_FAIL`, `TIMEOUT`, `OUT_OF_MEMORY`, …"""
    where: str = ""
    """Host, and devices if known."""
    restarts: int = 0
    """How often the scheduler itself started the placement again."""
    ran_s: float | None = None
    """Of what has ended: seconds since it was last begun, where somebody was there who measured it."""


@dataclass(frozen=True)
class Order:
    """What is placed: a command with what it needs."""

    task: str
    argv: tuple[str, ...]
    """The whole command, interpreter first."""
    devices: int
    """GPUs; 0: a CPU run."""
    time_limit_s: float
    log: Path
    """stdout and stderr of the command, appended."""
    env: Mapping[str, str]
    """Added to the environment; never a secret (a scheduler stores what it is given)."""


class Executor(Protocol):
    """One way to run commands."""

    @property
    def name(self) -> str:
        """As in a campaign file."""

    @property
    def detached(self) -> bool:
        """Whether placements outlive their driver, as they do without this attribute; if not, one that is lost ended
        with it, which is no failure."""

    def probe(self) -> Probe:
        """Whether it works here."""

    def free(self) -> int | None:
        """How many more orders of this campaign's kind start at once; None: it queues whatever it is given."""

    def place(self, orders: Sequence[Order]) -> dict[str, str]:
        """Handle by task. An order that finds no place, or is refused after others were taken, is left out. Raises
        InfrastructureError, or OSError for a scheduler that does not answer, when none was taken."""

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        """Status by handle; every handle asked for is in it."""

    def cancel(self, handles: Sequence[str]) -> None:
        """End these placements. Returns when they have been told; `poll` says when they ended."""

    def close(self) -> None:
        """Give back what this process holds. Placements that outlive their driver by design go on."""


@runtime_checkable
class Avoids(Protocol):
    """An executor that can leave out places which refused what was started there."""

    def avoid(self, places: Collection[str]) -> None:
        """Place nothing there until told otherwise: hosts as in `Status.where`, or GPUs of a host (`HOST gpu 2`)."""


@runtime_checkable
class Explains(Protocol):
    """An executor that can say why an order found no place."""

    def waits(self) -> Mapping[str, str]:
        """What is missing, by task, of those that the newest `place` left out; the same words while the same is."""


@runtime_checkable
class Finds(Protocol):
    """An executor that can name placements which nobody wrote down: their driver was killed, or had no answer, while it
    handed them over."""

    def lost(self, tasks: Collection[str]) -> dict[str, str]:
        """Handle by task of placements of these tasks that wait or run. Raises OSError for a scheduler that does not
        answer."""
