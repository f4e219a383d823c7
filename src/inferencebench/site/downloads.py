"""The site's data as files: CSV for spreadsheets, Parquet and JSON for programs."""

import io
from collections.abc import Iterable
from typing import Any

import orjson

from inferencebench.analysis.behaviour.conduct import Conduct
from inferencebench.site.model import BoardView, RunRow

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would run a text that begins so."""


def tables(views: Iterable[BoardView], rows: Iterable[RunRow]) -> dict[str, list[dict[str, Any]]]:
    """`runs`, `cells` and `agents`, one flat row each."""
    views = list(views)
    return {
        "runs": [_flat(_run(row)) for row in rows],
        "cells": [_flat({"board": v.id} | c.model_dump(mode="json")) for v in views for c in v.cells_floor],
        "agents": [_flat({"board": v.id} | a.model_dump(mode="json")) for v in views for a in v.floor],
    }


def _run(row: RunRow) -> dict[str, Any]:
    """A run's row with its conduct beside it, each under its own name."""
    flat = row.model_dump(mode="json", exclude={"conduct", "moments"})
    conduct = row.conduct.model_dump(mode="json") if row.conduct else {}
    return flat | {f"conduct_{name}": conduct.get(name) for name in Conduct.model_fields}


def files(views: Iterable[BoardView], rows: Iterable[RunRow]) -> dict[str, bytes]:
    """File name → content."""
    import polars as pl

    found: dict[str, bytes] = {}
    everything = tables(views, rows)
    found["inferencebench.json"] = orjson.dumps(everything, option=orjson.OPT_INDENT_2)
    for name, content in everything.items():
        frame = pl.DataFrame(content, infer_schema_length=None)
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        found[f"{name}.parquet"] = buffer.getvalue()
        text = pl.selectors.string()
        starts = text.str.slice(0, 1).is_in(list(FORMULA_STARTS))
        found[f"{name}.csv"] = (
            frame.with_columns(pl.when(starts).then("'" + text).otherwise(text).name.keep()).write_csv().encode()
        )
    return found


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Lists and objects as JSON text."""
    return {k: orjson.dumps(v).decode() if isinstance(v, dict | list) else v for k, v in row.items()}
