"""What a campaign's log says of one task, event by event."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]
"""One event of the log; `Journal.append` lists them."""


@dataclass
class History:
    """What the log says of one task."""

    placed: int = 0
    """How often it was placed, restarts by the scheduler included, each an attempt; refused and withdrawn ones not."""
    handle: str | None = None
    """The executor's name of the newest placement; None when that ended."""
    executor: str = ""
    """Name of what it was handed to."""
    directory: str = ""
    """The run's, under the campaign directory: the campaign file may no longer have the run."""
    devices: int = 0
    """GPUs of that placement; 0: a CPU run."""
    limit_s: float = float("inf")
    """Its time limit."""
    waits: str = ""
    """Why that placement has not begun, where that is not just its turn."""
    withdrawn: bool = False
    """Whether that placement was taken back, since a bound was reached, and has not begun."""
    since_at: float = 0.0
    """Epoch seconds at which it was placed or the scheduler began it again; what ran before is in `ran_s`."""
    began_at: float | None = None
    """Epoch seconds at which it began since then, as far as is known; None: it waits, or there is none."""
    where: str = ""
    """Host and devices of that placement, once it runs."""
    restarts: int = 0
    """How often the scheduler itself restarted that placement."""
    ran_s: float = 0.0
    """Seconds for which all its placements that ended had their devices."""
    ended_at: float = 0.0
    """Epoch seconds of the newest end."""
    failures: list[str] = field(default_factory=list)
    """Reasons of infrastructure failures, oldest first."""
    refusals: list[str] = field(default_factory=list)
    """Reasons of its newest starts, oldest first, if its preflight refused them."""
    preflight_ns: int = 0
    """The time of the preflight's file at the newest of them."""
    hopeless: str | None = None
    """Why it is not tried again."""

    def apply(self, row: Row) -> None:
        """Take in the next event of this task; unknown ones say nothing."""
        match row.get("event"):
            case "placed":
                self._placed(row)
            case "waits":
                self.waits = str(row.get("reason"))
            case "withdrawn":
                self.withdrawn = True
            case "began":
                self.began_at = self.began_at or float(row.get("began_at") or row.get("at", 0.0))
                self.where, self.waits, self.withdrawn = str(row.get("where", "")), "", False
            case "requeued":
                self._requeued(row)
            case "ended":
                self._ended(row)
            case "gave_up":
                self.hopeless = str(row.get("reason"))
            case "retried":
                self.hopeless = None
                self.failures.clear()
                self.refusals.clear()

    def _placed(self, row: Row) -> None:
        self.placed += 1
        self.handle, self.executor = str(row.get("handle")), str(row.get("executor", ""))
        self.since_at, self.began_at, self.withdrawn = float(row.get("at", 0.0)), None, False
        self.where, self.waits, self.restarts = "", "", 0
        self.directory, self.devices = str(row.get("directory", "")), int(row.get("devices", 0))
        self.limit_s = float(row.get("limit_s", "inf"))

    def _requeued(self, row: Row) -> None:
        restarts = int(row.get("restarts", 0))
        self.placed += restarts - self.restarts
        self.since_at, self.began_at, self.restarts = float(row.get("at", 0.0)), None, restarts
        self.ran_s += float(row.get("ran_s") or 0.0)
        self.failures.append(str(row.get("reason")))

    def _ended(self, row: Row) -> None:
        self.handle, self.began_at, self.waits = None, None, ""
        self.ran_s += float(row.get("ran_s") or 0.0)
        self.ended_at = float(row.get("at", 0.0))
        if self.withdrawn:
            self.placed -= 1
        elif row.get("refused"):
            self.placed -= 1
            self.refusals.append(str(row.get("reason")))
            self.preflight_ns = int(row.get("preflight_ns") or 0)
        else:
            self.refusals.clear()
        if row.get("infrastructure"):
            self.failures.append(str(row.get("reason")))
