"""Samples in files: `requests.parquet` and `chunks.parquet`, every field and text, so that all can be scored again."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferencebench.errors import UserError
from inferencebench.files import write_atomic
from inferencebench.load.model import ChunkSample, RequestSample, Samples

if TYPE_CHECKING:
    import polars as pl

REQUESTS = "requests.parquet"
CHUNKS = "chunks.parquet"


def write_samples(folder: Path, samples: Samples) -> None:
    """Write both files into `folder`, each atomically, the chunks first: where requests are, the chunks are too."""
    write_tables(folder / CHUNKS, folder / REQUESTS, samples)


def write_tables(chunks_file: Path, requests_file: Path, samples: Samples) -> None:
    """Write one row per chunk and one per request as Parquet, each file atomically, the chunks first."""
    import polars as pl

    for path in (chunks_file, requests_file):
        path.parent.mkdir(parents=True, exist_ok=True)
    chunk_schema = _schema(ChunkSample.__annotations__)
    columns = zip(*samples.chunks, strict=True) if samples.chunks else ((),) * len(chunk_schema)
    chunks = {name: list(values) for name, values in zip(chunk_schema, columns, strict=True)}
    _write(chunks_file, pl.DataFrame(chunks, schema=chunk_schema))
    request_schema = _schema({name: info.annotation for name, info in RequestSample.model_fields.items()})
    _write(requests_file, pl.DataFrame([r.model_dump() for r in samples.requests], schema=request_schema))


def read_samples(folder: Path) -> Samples:
    """What `write_samples` wrote. Raises UserError where a file is missing."""
    import polars as pl

    for name in (REQUESTS, CHUNKS):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: no {name}; expected a folder written by a measurement")
    requests = [RequestSample(**row) for row in pl.read_parquet(folder / REQUESTS).iter_rows(named=True)]
    return Samples(requests, [ChunkSample(*row) for row in pl.read_parquet(folder / CHUNKS).iter_rows()])


def _schema(fields: dict[str, Any]) -> "dict[str, pl.DataType | type[pl.DataType]]":
    """Column types from a record's annotations; a column may always hold null."""
    import polars as pl

    types = {str: pl.String, bool: pl.Boolean, int: pl.Int64, float: pl.Float64}
    schema: dict[str, pl.DataType | type[pl.DataType]] = {}
    for name, annotation in fields.items():
        options = getattr(annotation, "__args__", (annotation,))
        schema[name] = next(types[option] for option in options if option in types)
    return schema


def _write(path: Path, frame: "pl.DataFrame") -> None:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    write_atomic(path, buffer.getvalue())
