"""The published results as data: facts of the paper, with sources, to show beside one's own and to test against.

In: nothing. Out: plain values by table name. They are never mixed into a board: speedups over different baselines do
not compare, native units do.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("results.json")


@cache
def published() -> dict[str, Any]:
    """`{"about": {...}, "tables": {NAME: {"source": ..., ...}}}`; NAME as in `inferencebench tables NAME`."""
    return dict(json.loads(PATH.read_bytes()))


def table(name: str) -> dict[str, Any]:
    """The published values of one table. Raises KeyError for a table that was not published."""
    return dict(published()["tables"][name])
