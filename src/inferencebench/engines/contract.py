"""The engine contract: what the pipeline needs to know of an inference engine.

An engine is data plus a launcher text. Third parties add one by the entry point group `inferencebench.engines`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Availability:
    """Whether an engine can run on this machine."""

    ok: bool
    detail: str
    """Version when ok, else what is missing."""
    remedy: str = ""
    """The command that installs it."""


@dataclass(frozen=True)
class Fatal:
    """A line of an engine's log after which its start cannot succeed."""

    pattern: str
    """Regular expression, searched in one line."""
    meaning: str
    """What went wrong, in a few words."""
    machine: bool = False
    """The machine's doing, not the setting's: worth another try."""


@dataclass(frozen=True)
class Startup:
    """How an engine starts: what to wait for, and when to stop waiting."""

    ready_s: float = 120.0
    """A start without trouble takes less; a search gives up after this."""
    quiet_s: float = 60.0
    """So long without a new byte in the log is a hang."""
    fatal: tuple[Fatal, ...] = ()


class Engine(Protocol):
    """One inference engine."""

    @property
    def name(self) -> str:
        """The name in `engine:NAME`."""

    @property
    def forces_length(self) -> bool:
        """Whether it can be told, over its API, to go on past the end of a text (`ignore_eos`)."""

    @property
    def startup(self) -> Startup:
        """Its time to be ready, and the log lines that say it never will be."""

    def availability(self) -> Availability:
        """Version or what is missing, without importing the engine."""

    def version(self) -> str | None:
        """Version of the installed engine, None where it is not installed; without importing it."""

    def default_launcher(self) -> str:
        """The text of a `start_server.sh` that runs this engine at its true defaults.

        It may use `$HOST`, `$PORT`, `$MODEL_PATH`, `$MODEL_ID` and `$IB_PYTHON` (the Python inside the sandbox that has
        the engines), and must `exec` the server."""

    def launcher(self, arguments: Sequence[str] = (), env: Mapping[str, str] | None = None) -> str:
        """The same with arguments and environment variables added; without any it is the default."""

    def help_argv(self) -> list[str]:
        """The command that prints the options of the installed engine."""
