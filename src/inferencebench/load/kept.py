"""Kept records as one side of a comparison: ours, or those of `vllm bench serve`."""

import json
from pathlib import Path

from pydantic import ValidationError

from inferencebench.errors import UserError
from inferencebench.load import vllm_bench
from inferencebench.load.compare import Side, figures_of
from inferencebench.load.session import MeasureRecord


def kept_side(path: Path) -> Side:
    """The record in a file, or the records of a folder by their names. Raises UserError for what is none."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path}: no .json files; expected records of `inferencebench measure --json`")
    repeats: list[dict[str, float]] = []
    reasons: dict[str, None] = {}
    for file in files:
        found, why = _figures(file)
        repeats.append(found)
        reasons |= dict.fromkeys(why)
    return Side(name=str(path), repeats=tuple(repeats), invalid_reasons=tuple(reasons))


def _figures(file: Path) -> tuple[dict[str, float], tuple[str, ...]]:
    try:
        data = file.read_bytes()
        value = json.loads(data)
    except OSError as error:
        raise UserError(
            f"{file}: {(error.strerror or 'cannot be read').lower()}; A and B are URLs or records"
        ) from None
    except ValueError as error:
        raise UserError(f"{file}: not JSON ({error})") from None
    if vllm_bench.recognized(value):
        failed = vllm_bench.failures(value)
        why = (f"{failed} of {failed + value['completed']} requests failed",) if failed else ()
        return vllm_bench.figures(value), why
    try:
        record = MeasureRecord.model_validate_json(data)
    except ValidationError:
        raise UserError(f"{file}: neither a record of `measure --json` nor of `vllm bench serve`") from None
    return figures_of(record), record.invalid_reasons
