"""What a run tells the person who waits for it. The pipeline talks to this protocol; the CLI draws it."""

from typing import Protocol

from inferencebench.load.model import Progress


class Reporter(Protocol):
    """Receives progress; must be quick and must not raise."""

    def phase(self, run: str, phase: str, *, skipped: bool) -> None:
        """A phase of `run` begins, or was found done."""

    def note(self, text: str) -> None:
        """One line about what is happening (a launch, a wait, a download)."""

    def load(self, profile: str, progress: Progress) -> None:
        """Requests of `profile` under way."""


class Silent:
    """Reports nothing."""

    def phase(self, run: str, phase: str, *, skipped: bool) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def load(self, profile: str, progress: Progress) -> None:
        """Nothing."""
