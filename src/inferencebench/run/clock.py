"""The wall clock of a session."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Clock:
    """Counts a budget down on the monotonic clock from the moment it is made."""

    budget_s: float
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def since(cls, budget_s: float, epoch_s: float) -> "Clock":
        """A clock that was started at `epoch_s` (seconds since the epoch), perhaps by a process that is no more."""
        return cls(budget_s, time.monotonic() - max(0.0, time.time() - epoch_s))

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def remaining_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.budget_s - self.elapsed_s)

    @property
    def over(self) -> bool:
        """Whether the budget is used up."""
        return self.remaining_s <= 0
