"""From an agent's full name to the agent."""

from collections.abc import Callable

from inferencebench.agents.adapters import registry as adapters
from inferencebench.agents.contract import Agent
from inferencebench.agents.engine import EngineAgent
from inferencebench.agents.plugins import declared, load
from inferencebench.agents.script import ScriptAgent
from inferencebench.agents.search import BLIND, SearchAgent
from inferencebench.agents.session import CliAgent
from inferencebench.engines import registry as engines
from inferencebench.errors import UserError
from inferencebench.redteam.agent import ZooAgent

GROUP = "inferencebench.agents"
_OURS: dict[str, Callable[[str], Agent]] = {
    "engine": lambda rest: EngineAgent(engines.get(rest)),
    "script": ScriptAgent,
    "search": SearchAgent,
    BLIND: lambda rest: SearchAgent(rest, blind=True),
    "zoo": ZooAgent,
}


def get(name: str) -> Agent:
    """The agent `KIND:REST`, e.g. `engine:llamacpp` or `script:examples/pick_fastest`.

    Raises UserError for an unknown kind, a bad rest, or a plug-in that does not load."""
    kind, _, rest = name.partition(":")
    others = declared(GROUP)
    known = sorted({*_OURS, *adapters.names(), *others})
    if kind not in known or not rest:
        shown = ", ".join(f"{k}:…" for k in known)
        raise UserError(f"agent {name!r} is not known; name one as {shown} (for example engine:llamacpp)")
    if kind in _OURS:
        return _OURS[kind](rest)
    if kind in adapters.names():
        return CliAgent(adapters.get(kind), rest)
    made: Agent = load(others[kind])(rest)
    return made
