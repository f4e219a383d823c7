"""From an agent's full name to the agent."""

from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points

from inferencebench.agents.adapters.registry import adapters
from inferencebench.agents.contract import Agent
from inferencebench.agents.engine import EngineAgent
from inferencebench.agents.script import ScriptAgent
from inferencebench.agents.search import BLIND, SearchAgent
from inferencebench.agents.session import CliAgent
from inferencebench.engines import registry as engines
from inferencebench.errors import UserError
from inferencebench.redteam.agent import ZooAgent


def _kinds() -> dict[str, Callable[[str], Agent]]:
    built_in: dict[str, Callable[[str], Agent]] = {
        "engine": lambda rest: EngineAgent(engines.get(rest)),
        "script": ScriptAgent,
        "search": SearchAgent,
        BLIND: lambda rest: SearchAgent(rest, blind=True),
        "zoo": ZooAgent,
    }
    built_in |= {name: partial(CliAgent, adapter) for name, adapter in adapters().items()}
    return {**{e.name: e.load() for e in entry_points(group="inferencebench.agents")}, **built_in}


def get(name: str) -> Agent:
    """The agent `KIND:REST`, e.g. `engine:llamacpp` or `script:examples/pick_fastest`.

    Raises UserError for an unknown kind or a bad rest."""
    kind, _, rest = name.partition(":")
    kinds = _kinds()
    if kind not in kinds or not rest:
        known = ", ".join(f"{k}:…" for k in sorted(kinds))
        raise UserError(f"agent {name!r} is not known; name one as {known} (for example engine:llamacpp)")
    return kinds[kind](rest)
