"""The adapters by name: the built-in ones and those of third parties (entry points `inferencebench.cli_agents`)."""

from importlib.metadata import entry_points

from inferencebench.agents.adapters import claude_code, codex, gemini_cli, opencode
from inferencebench.agents.adapters.contract import Adapter

GROUP = "inferencebench.cli_agents"
BUILT_IN = (claude_code.ADAPTER, codex.ADAPTER, opencode.ADAPTER, gemini_cli.ADAPTER)


def adapters() -> dict[str, Adapter]:
    """Every adapter by the kind in an agent's full name; a built-in one cannot be replaced."""
    found: dict[str, Adapter] = {entry.name: entry.load() for entry in entry_points(group=GROUP)}
    return {**found, **{adapter.package.name: adapter for adapter in BUILT_IN}}
