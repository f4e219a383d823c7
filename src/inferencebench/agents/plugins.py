"""Agents that other packages bring along."""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from inferencebench.errors import UserError


def declared(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name; nothing is loaded."""
    return {point.name: point for point in entry_points(group=group)}


def load(point: EntryPoint) -> Any:
    """What an entry point names. Raises UserError, naming the plug-in, when it does not load."""
    try:
        return point.load()
    except Exception as error:  # whatever a third party's import raised
        raise UserError(f"agent {point.name}: its plug-in {point.value} does not load: {error!r}") from None
