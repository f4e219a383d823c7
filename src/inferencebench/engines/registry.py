"""Which engines there are: ours, and those that other packages declare.

Another package adds one with an entry point of the group `inferencebench.engines`: the engine's name, and an object
that is an `Engine`.
"""

from importlib.metadata import EntryPoint, entry_points

from inferencebench.engines import llamacpp, pytorch, sglang, tgi, transformers, vllm
from inferencebench.engines.contract import Engine
from inferencebench.errors import UserError

GROUP = "inferencebench.engines"

_OURS: dict[str, Engine] = {
    "pytorch": pytorch.ENGINE,
    "llamacpp": llamacpp.ENGINE,
    "vllm": vllm.ENGINE,
    "sglang": sglang.ENGINE,
    "tgi": tgi.ENGINE,
    "transformers": transformers.ENGINE,
}


def names() -> tuple[str, ...]:
    """Names of all engines, sorted."""
    return tuple(sorted(_OURS.keys() | _declared().keys()))


def get(name: str) -> Engine:
    """The engine of this name. Raises UserError when there is none, or its package does not load.

    Ours come first: another package cannot replace the baseline under its name."""
    if name in _OURS:
        return _OURS[name]
    point = _declared().get(name)
    if point is None:
        raise UserError(f"engine {name!r}: expected one of {', '.join(names())}")
    try:
        engine: Engine = point.load()
    except Exception as error:  # whatever a third party's import raised, the plug-in must be named
        raise UserError(f"engine {name}: its plug-in {point.value} does not load: {error!r}") from None
    return engine


def forces_length(name: str | None) -> bool:
    """Whether the engine of this name can be told to go on past the end of a text; of those not ours it is taken so."""
    return name not in _OURS or _OURS[name].forces_length


def _declared() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
