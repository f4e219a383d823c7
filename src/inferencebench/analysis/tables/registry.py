"""All tables by name."""

import difflib

from inferencebench.analysis.tables import ablations, behaviour, board, found, gates, money, spread
from inferencebench.analysis.tables.model import Family
from inferencebench.errors import UserError

FAMILIES: dict[str, Family] = {
    family.name: family
    for module in (board, gates, found, ablations, spread, money, behaviour)
    for family in module.FAMILIES
}


def find(name: str) -> Family:
    """The table of this name. Raises UserError with the nearest names."""
    try:
        return FAMILIES[name]
    except KeyError:
        near = difflib.get_close_matches(name, FAMILIES) or sorted(FAMILIES)
        raise UserError(f"no table {name!r}; there are {', '.join(near)} (inferencebench tables list)") from None
