"""Samples in files: `requests.parquet` and `chunks.parquet`, every field and text, so that all can be scored again."""

from pathlib import Path
from typing import Any

from inferencebench.errors import UserError
from inferencebench.load import parquet
from inferencebench.load.model import ChunkSample, RequestSample, Samples

REQUESTS = "requests.parquet"
CHUNKS = "chunks.parquet"


def write_samples(folder: Path, samples: Samples) -> None:
    """Write both files into `folder`, each atomically, the chunks first: where requests are, the chunks are too."""
    write_tables(folder / CHUNKS, folder / REQUESTS, samples)


def write_tables(chunks_file: Path, requests_file: Path, samples: Samples) -> None:
    """Write one row per chunk and one per request as Parquet, each file atomically, the chunks first."""
    for path in (chunks_file, requests_file):
        path.parent.mkdir(parents=True, exist_ok=True)
    chunk_types = _types(ChunkSample.__annotations__)
    columns = zip(*samples.chunks, strict=True) if samples.chunks else ((),) * len(chunk_types)
    chunks = {name: list(values) for name, values in zip(chunk_types, columns, strict=True)}
    parquet.write(chunks_file, chunks, chunk_types)
    request_types = _types({name: info.annotation for name, info in RequestSample.model_fields.items()})
    rows = [request.model_dump() for request in samples.requests]
    parquet.write(requests_file, {name: [row[name] for row in rows] for name in request_types}, request_types)


def read_samples(folder: Path) -> Samples:
    """What `write_samples` wrote. Raises UserError where a file is missing."""
    for name in (REQUESTS, CHUNKS):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: no {name}; expected a folder written by a measurement")
    requests, chunks = parquet.read(folder / REQUESTS), parquet.read(folder / CHUNKS)
    rows = zip(*requests.values(), strict=True)
    ordered = (chunks[name] for name in ChunkSample.__annotations__ if name in chunks)
    return Samples(
        [RequestSample(**dict(zip(requests, row, strict=True))) for row in rows],
        [ChunkSample(*row) for row in zip(*ordered, strict=True)],
    )


def _types(fields: dict[str, Any]) -> dict[str, type]:
    """Column types from a record's annotations; a column may always hold null."""
    found: dict[str, type] = {}
    for name, annotation in fields.items():
        options = getattr(annotation, "__args__", (annotation,))
        found[name] = next(option for option in options if option in (str, bool, int, float))
    return found
