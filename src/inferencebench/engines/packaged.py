"""Engines that are Python modules of the environment at `$IB_PYTHON`: data, and one way to look for them."""

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from inferencebench.engines.contract import Availability, Capabilities

_LAUNCHER = """\
#!/bin/sh
# {title}
exec "$IB_PYTHON" -m {module} serve \\
    --model "$MODEL_PATH" --served-name "$MODEL_ID" --host "$HOST" --port "$PORT"
"""


@dataclass(frozen=True)
class PackagedEngine:
    """An engine started by `python -m MODULE serve --model --served-name --host --port`."""

    name: str
    title: str
    """One line for the head of the launcher."""
    module: str
    distributions: tuple[str, ...]
    """What must be installed; the version of the first is the engine's."""
    extra: str
    """Our optional dependency group that installs it."""
    capabilities: Capabilities = field(default_factory=Capabilities)

    def availability(self) -> Availability:
        """Version or what is missing, read from package metadata."""
        found = {}
        for name in self.distributions:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                return Availability(False, f"{name} is not installed", f"pip install 'inferencebench[{self.extra}]'")
        return Availability(True, ", ".join(f"{name} {number}" for name, number in found.items()))

    def default_launcher(self) -> str:
        """A `start_server.sh` without any option of the engine's own."""
        return _LAUNCHER.format(title=self.title, module=self.module)
