"""The files of request and question sets: one canonical JSON record a line, named by the hash of the bytes."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from inferencebench.errors import UserError
from inferencebench.files import canonical_json, sha256_bytes, write_atomic
from inferencebench.suites.model import Record

R = TypeVar("R", bound=Record)


def write_records(path: Path, records: Iterable[Record]) -> str:
    """Write the records atomically; the hex SHA-256 of the file."""
    data = b"".join(canonical_json(record) + b"\n" for record in records)
    write_atomic(path, data)
    return sha256_bytes(data)


def read_records(path: Path, kind: type[R]) -> tuple[tuple[R, ...], str]:
    """The records of a file and its hex SHA-256.

    Every line must be whole, unlike those of a log: a set that lost a request is another set. Lines end at line feeds
    only, since prompts hold every other line separator of Unicode. Raises `UserError`."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; a set of {kind.__name__} records belongs here")
    data = path.read_bytes()
    records = []
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
        try:
            records.append(kind.model_validate_json(line))
        except ValidationError as error:
            raise UserError(f"{path}:{number}: not a {kind.__name__} record ({error.errors()[0]['msg']})") from None
    return tuple(records), sha256_bytes(data)
