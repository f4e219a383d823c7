"""The engine contract: what the pipeline needs to know of an inference engine.

An engine is data plus a launcher text. Third parties add one by the entry point group `inferencebench.engines`.
"""

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
class Capabilities:
    """What an engine can be asked for over HTTP."""

    forces_length: bool = True
    """Honours `ignore_eos` together with `max_tokens`."""
    accelerators: tuple[str, ...] = ("cpu", "cuda")


class Engine(Protocol):
    """One inference engine."""

    @property
    def name(self) -> str:
        """The name in `engine:NAME`."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can be asked for."""

    def availability(self) -> Availability:
        """Version or what is missing, without importing the engine."""

    def default_launcher(self) -> str:
        """The text of a `start_server.sh` that runs this engine at its true defaults.

        It may use `$HOST`, `$PORT`, `$MODEL_PATH`, `$MODEL_ID` and `$IB_PYTHON` (the Python inside the sandbox that has
        the engines), and must `exec` the server."""
