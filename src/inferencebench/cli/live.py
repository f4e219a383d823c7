"""Live progress of a load on stderr: running TTFT, TPOT and throughput."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from inferencebench.load.model import Progress as LoadProgress

PLAIN_EVERY_S = 10.0
"""Without a terminal, a line at most this often."""
_WIDE = 120
"""Columns of a terminal with room for a bar beside the figures."""
_WINDOW_S = 2.0
"""Throughput is over at least this long."""


class LiveLoad:
    """A line per load: a bar on a terminal, plain lines elsewhere. `show` fits the load client's `on_progress`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        figures = (TextColumn("{task.description}"), TextColumn("{task.fields[detail]}"))
        wide = (figures[0], BarColumn(bar_width=16), figures[1], TimeElapsedColumn())
        self._bar = Progress(
            *(wide if console.width >= _WIDE else figures),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._name = ""
        self._plain_at = time.monotonic()
        self._since = (0.0, 0)
        self._rate = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bar.stop()

    def show(self, name: str, now: LoadProgress) -> None:
        """Draw where the load `name` stands."""
        if self._task is None or name != self._name or now.elapsed_s < self._since[0]:
            self._name, self._since, self._rate = name, (0.0, 0), 0.0
            self._task = self._bar.add_task(name, total=now.total, detail="")
        before_s, before = self._since
        if now.elapsed_s - before_s >= _WINDOW_S or not self._rate:
            self._rate = (now.reads - before) / (now.elapsed_s - before_s) if now.elapsed_s > before_s else 0.0
            if now.elapsed_s - before_s >= _WINDOW_S:
                self._since = (now.elapsed_s, now.reads)
        detail = self._detail(now)
        self._bar.update(self._task, total=now.total, completed=now.done, detail=detail)
        if not self._console.is_terminal and time.monotonic() - self._plain_at >= PLAIN_EVERY_S:
            self._plain_at = time.monotonic()
            self._console.print(f"{name}: {detail}", highlight=False, markup=False)

    def note(self, text: str) -> None:
        """One plain line."""
        self._console.print(text, style="dim", highlight=False, markup=False)

    def _detail(self, now: LoadProgress) -> str:
        total = " done" if now.total is None else f"/{now.total}"
        parts = [f"{now.done}{total}, {now.in_flight} in flight"]
        if now.failed:
            parts.append(f"{now.failed} failed")
        if now.ttft_s is not None:
            parts.append(f"TTFT {now.ttft_s * 1e3:.3g} ms")
        if now.tpot_s is not None:
            parts.append(f"TPOT {now.tpot_s * 1e3:.3g} ms")
        return ", ".join([*parts, f"{self._rate:.0f} chunks/s"])


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that what was measured is kept; the second one interrupts as usual."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
