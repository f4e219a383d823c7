"""Parquet files by polars, or by pyarrow where only that is installed (as on GPU images). The files are alike."""

import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from inferencebench.files import write_atomic

Columns = Mapping[str, Sequence[Any]]
"""Equally long columns by name; any value may be None."""


def write(path: Path, columns: Columns, types: Mapping[str, type]) -> None:
    """Write the columns, whose types are `str`, `bool`, `int` or `float`, atomically."""
    buffer = io.BytesIO()
    (_write_polars if find_spec("polars") else _write_pyarrow)(buffer, columns, types)
    write_atomic(path, buffer.getvalue())


def read(path: Path) -> Columns:
    """The columns of a file."""
    if find_spec("polars"):
        import polars as pl

        return {column.name: column.to_list() for column in pl.read_parquet(path)}
    import pyarrow.parquet as pq

    found: Columns = pq.read_table(path).to_pydict()
    return found


def _write_polars(buffer: io.BytesIO, columns: Columns, types: Mapping[str, type]) -> None:
    import polars as pl

    known = {str: pl.String, bool: pl.Boolean, int: pl.Int64, float: pl.Float64}
    pl.DataFrame(dict(columns), schema={name: known[kind] for name, kind in types.items()}).write_parquet(buffer)


def _write_pyarrow(buffer: io.BytesIO, columns: Columns, types: Mapping[str, type]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    known = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    schema = pa.schema([(name, known[kind]) for name, kind in types.items()])
    pq.write_table(pa.table(dict(columns), schema=schema), buffer, compression="zstd")
