"""A trial of a search: a plan in, a measurement with its times out, and the watch over a server that starts."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from inferencebench.engines.contract import Startup
from inferencebench.errors import InfrastructureError
from inferencebench.gates.quality import Answer
from inferencebench.load.model import Measurement
from inferencebench.load.speculation import Speculation
from inferencebench.serve.server import ServerFailed

LOOK_S = 0.5
LINE_BYTES = 1 << 16


@dataclass(frozen=True)
class TrialPlan:
    """How one configuration is tried."""

    startup: Startup
    measure_s: float
    """No request starts later than this after the load's begin."""
    questions: int
    ready_s: float
    patience_s: float
    """The warm-up, each profile and the questions are each given up after so long: a server that hangs under load."""
    asks: Callable[[Measurement], bool] = lambda found: True
    """Whether a measurement is worth the questions."""
    ask_s: float | None = None
    """No question is asked later than this after the first."""
    home: Path | None = None
    """HOME of the server, kept between trials for compile caches."""


class TrialResult(NamedTuple):
    """What a trial showed. Seconds by the wall."""

    measurement: Measurement
    answers: tuple[Answer, ...]
    launch_s: float
    measure_s: float
    gate_s: float
    speculation: Speculation


class StartupWatch:
    """Reads the log of a server that starts; raises ServerFailed on a fatal line or when nothing happens any more,
    InfrastructureError where the line is about the machine."""

    def __init__(self, startup: Startup, folder: Path) -> None:
        self._fatal = [(re.compile(fatal.pattern), fatal) for fatal in startup.fatal]
        self._quiet_s = startup.quiet_s
        self._paths = (folder / "server.out", folder / "server.err")
        self._read = dict.fromkeys(self._paths, 0)
        self._size = dict.fromkeys(self._paths, 0)
        self._looked_s = 0.0
        self._moved_s = 0.0

    def look(self, seconds: float) -> None:
        """Called while the server starts, `seconds` after its begin."""
        if seconds - self._looked_s < LOOK_S:
            return
        self._looked_s = seconds
        for path in self._paths:
            for line in self._new_lines(path, seconds):
                for pattern, fatal in self._fatal:
                    if pattern.search(line):
                        reason = f"{fatal.meaning} ({line.strip()[:200]})"
                        raise InfrastructureError(reason) if fatal.machine else ServerFailed(reason, line, None)
        if seconds - self._moved_s > self._quiet_s:
            raise ServerFailed(f"it hangs: nothing in its log for {self._quiet_s:g} s", "", None)

    def _new_lines(self, path: Path, seconds: float) -> list[str]:
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(self._read[path])
                data = file.read(LINE_BYTES)
        except OSError:
            return []
        # An unfinished line is read again each time: only a log that grows says that something happens.
        if size > self._size[path]:
            self._size[path], self._moved_s = size, seconds
        whole = data if len(data) == LINE_BYTES else data[: data.rfind(b"\n") + 1]
        self._read[path] += len(whole)
        return whole.decode(errors="replace").splitlines()
