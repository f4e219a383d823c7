"""Finished sessions as ATIF 1.8 documents (Agent Trajectory Interchange Format), redacted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from inferencebench.analysis.runs import run_id
from inferencebench.errors import UserError
from inferencebench.files import write_json
from inferencebench.run.record import Result
from inferencebench.run.trace import Trace
from inferencebench.site.reading import readable
from inferencebench.site.redact import redacted


class Written(NamedTuple):
    """The files, and a line for each run that has no session."""

    paths: list[Path]
    skipped: list[str]


def write_documents(found: Sequence[tuple[Path, Result]], out: Path) -> Written:
    """Write `OUT/<run id with dashes>.json` for every run whose session is stored."""
    paths, skipped = [], []
    for directory, result in found:
        try:
            document = Trace(directory).atif()
        except UserError as error:
            skipped.append(f"{directory}: skipped, {error}")
            continue
        name = run_id(result).replace("/", "--")
        document["session_id"] = name
        document["extra"] |= {"outcome": result.outcome.value, "speedup": result.speedup}
        paths.append(out / f"{name}.json")
        write_json(paths[-1], clean(document))
    return Written(paths, skipped)


def clean(value: Any) -> Any:
    """The value with every text in it redacted, and without direction overrides."""
    match value:
        case str():
            return readable(redacted(value))
        case dict():
            return {clean(str(name)): clean(one) for name, one in value.items()}
        case list() | tuple():
            return [clean(one) for one in value]
        case _:
            return value
