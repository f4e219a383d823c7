"""Engines that are Python modules of the environment at `$IB_PYTHON`: data, and one way to look for them."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from inferencebench.engines.contract import Availability, Startup

LOCATION = {
    "--model": "$MODEL_PATH",
    "--served-name": "$MODEL_ID",
    "--host": "$HOST",
    "--port": "$PORT",
}
"""How our own servers are told what to serve and where."""


@dataclass(frozen=True)
class PackagedEngine:
    """An engine started by `python -m MODULE [COMMAND] --model … --served-name … --host … --port …`."""

    name: str
    title: str
    """One line for the head of the launcher."""
    module: str
    distributions: tuple[str, ...]
    """What must be installed; the version of the first is the engine's."""
    extra: str
    """Our optional dependency group that installs it; empty where `remedy` says how."""
    forces_length: bool = True
    startup: Startup = field(default_factory=Startup)
    command: tuple[str, ...] = ("serve",)
    location: Mapping[str, str] = field(default_factory=lambda: LOCATION)
    """Flag → variable of the launcher."""
    env: Mapping[str, str] = field(default_factory=dict)
    """What the engine needs behind a wall without a network; never a setting of speed."""
    builds: tuple[str, ...] = ()
    """Other distributions that carry the first one's module."""
    remedy: str = ""
    image: str = ""
    """Its official container image; `{version}` stands for the version."""

    def availability(self) -> Availability:
        """Version or what is missing, read from package metadata."""
        found = {}
        for name in self.distributions:
            number = self.version() if name == self.distributions[0] else _version(name)
            if number is None:
                remedy = self.remedy or f"pip install 'inferencebench[{self.extra}]'"
                return Availability(False, f"{name} is not installed", remedy)
            found[name] = number
        return Availability(True, ", ".join(f"{name} {number}" for name, number in found.items()))

    def version(self) -> str | None:
        """Version of the first distribution, or of the build that stands for it."""
        numbers = (_version(name) for name in (self.distributions[0], *self.builds))
        return next((number for number in numbers if number is not None), None)

    def default_launcher(self) -> str:
        """A `start_server.sh` without any option of the engine's own."""
        return self.launcher()

    def launcher(self, arguments: Sequence[str] = (), env: Mapping[str, str] | None = None) -> str:
        """A `start_server.sh` with options; each value is quoted for the shell."""
        where = " ".join(f'{flag} "{variable}"' for flag, variable in self.location.items())
        return launcher_text(
            self.title,
            self.env,
            env,
            f'exec "$IB_PYTHON" -m {" ".join((self.module, *self.command))}',
            where,
            arguments,
        )

    def help_argv(self) -> list[str]:
        """`python -m MODULE [COMMAND] --help` in this environment."""
        return [sys.executable, "-m", self.module, *self.command, "--help"]


def launcher_text(
    title: str,
    needed: Mapping[str, str],
    env: Mapping[str, str] | None,
    command: str,
    where: str,
    arguments: Sequence[str],
    prepare: Sequence[str] = (),
) -> str:
    """A launcher: what it is, its environment, what `prepare` does before, and one command over several lines.

    A title that says "at its defaults" loses that when there are arguments or variables."""
    if arguments or env:
        title = title.replace(" at its defaults", "")
    exports = [f'export {name}="${{{name}:-{value}}}"' for name, value in needed.items()]
    exports += [f"export {name}={shlex.quote(value)}" for name, value in (env or {}).items()]
    lines = [command, where, *_grouped(arguments)]
    return "\n".join(["#!/bin/sh", f"# {title}", *exports, *prepare, " \\\n    ".join(lines)]) + "\n"


def _grouped(arguments: Sequence[str]) -> list[str]:
    """One line per flag with its values."""
    lines: list[str] = []
    for argument in arguments:
        if argument.startswith("--") or not lines:
            lines.append(shlex.quote(argument))
        else:
            lines[-1] += " " + shlex.quote(argument)
    return lines


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
