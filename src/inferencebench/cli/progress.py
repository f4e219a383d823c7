"""Live progress of runs on stderr: a line per phase, a bar for requests under way."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from inferencebench.load.model import Progress as LoadProgress

PLAIN_EVERY_S = 10.0
"""Without a terminal, a line of load progress at most this often."""


class LiveReporter:
    """Draws what the pipeline tells; on a terminal with a bar, otherwise as plain lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal
        self._bar = Progress(
            TextColumn("    {task.description:<10}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not self._live,
        )
        self._run = ""
        self._profile = ""
        self._last_plain = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bar.stop()

    def phase(self, run: str, phase: str, *, skipped: bool) -> None:
        """One line when a phase begins."""
        self._clear()
        if run != self._run:
            self._run = run
            self._console.print(run, style="bold", highlight=False, markup=False)
        if not skipped:
            self._console.print(f"  {time.strftime('%H:%M:%S')} {phase}", highlight=False)

    def note(self, text: str) -> None:
        """One indented line."""
        self._clear()
        self._console.print(f"    {text}", style="dim", highlight=False, markup=False)

    def load(self, profile: str, progress: LoadProgress) -> None:
        """Move the bar of a profile."""
        detail = f"{progress.in_flight} in flight" + (f", {progress.failed} failed" if progress.failed else "")
        if not self._live:
            self._plain(profile, progress, detail)
            return
        if profile != self._profile:
            self._clear()
            self._profile = profile
            self._bar.add_task(profile, total=progress.total, detail=detail)
        self._bar.update(self._bar.task_ids[-1], completed=progress.done, detail=detail)

    def _plain(self, profile: str, progress: LoadProgress, detail: str) -> None:
        now = time.monotonic()
        if now - self._last_plain >= PLAIN_EVERY_S:
            self._last_plain = now
            self._console.print(f"    {profile} {progress.done}/{progress.total}, {detail}", highlight=False)

    def _clear(self) -> None:
        self._profile = ""
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
