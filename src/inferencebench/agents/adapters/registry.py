"""The adapters by name: the built-in ones and those of third parties (entry points `inferencebench.cli_agents`)."""

from inferencebench.agents.adapters import claude_code, codex, gemini_cli, opencode
from inferencebench.agents.adapters.contract import Adapter
from inferencebench.agents.plugins import declared, load
from inferencebench.errors import UserError

GROUP = "inferencebench.cli_agents"
BUILT_IN = {
    adapter.package.name: adapter
    for adapter in (claude_code.ADAPTER, codex.ADAPTER, opencode.ADAPTER, gemini_cli.ADAPTER)
}


def names() -> tuple[str, ...]:
    """Kinds of all command-line agents; a plug-in cannot replace a built-in one."""
    return (*BUILT_IN, *sorted(declared(GROUP).keys() - BUILT_IN.keys()))


def get(name: str) -> Adapter:
    """The adapter of this kind. Raises UserError when there is none, or its plug-in does not load."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    point = declared(GROUP).get(name)
    if point is None:
        raise UserError(f"agent {name!r}: no command-line agent; one of {', '.join(names())} is")
    found = load(point)
    if not isinstance(found, Adapter):
        raise UserError(f"agent {name}: its plug-in {point.value} is no Adapter")
    return found
