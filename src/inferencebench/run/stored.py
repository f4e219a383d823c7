"""What a measurement left in its run directory, read back. What is missing is an error: its absence clears no run."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from inferencebench.errors import UserError
from inferencebench.files import read_jsonl
from inferencebench.gates.integrity.likelihood import Likelihood
from inferencebench.load import metrics
from inferencebench.load.model import Measurement, RequestSample, Samples
from inferencebench.load.store import CHUNKS, REQUESTS, read_samples
from inferencebench.run import listen
from inferencebench.run.measure import PROBES
from inferencebench.run.record import Measured
from inferencebench.suites.model import Metric, Record, Suite
from inferencebench.suites.unreadable import unreadable
from inferencebench.workload.model import RequestSet

T = TypeVar("T")
AnyRecord = TypeVar("AnyRecord", bound=Record)


def reading(path: Path, read: Callable[[Path], T], model: type[BaseModel] = BaseModel) -> T:
    """A part of a record. Raises UserError, in one line, whatever is wrong with the file; `model`: what is in it."""
    try:
        return read(path)
    except Exception as error:
        raise damaged(path, unreadable(error, model)) from None


def damaged(path: Path, what: str) -> UserError:
    """The error about a part of a record that cannot be used."""
    return UserError(f"{path}: missing or damaged ({what}); run it again")


def record(path: Path, model: type[AnyRecord]) -> AnyRecord:
    """A record of one JSON document. Raises UserError when it is missing or damaged."""
    return reading(path, lambda p: model.model_validate_json(p.read_bytes()), model)


def launch_folders(directory: Path, measured: Measured) -> list[Path]:
    """The folder of each launch's samples. Raises UserError when one has none."""
    folders = [directory / "measure" / f"launch-{number}" for number in range(len(measured.launches))]
    for path in (folder / name for folder in folders for name in (REQUESTS, CHUNKS)):
        if not path.is_file():
            raise damaged(path, "no such file")
    return folders


def samples(directory: Path, measured: Measured) -> list[Samples]:
    """Timed samples of each launch.

    Raises UserError when a launch has none, or damaged ones, or others than its measured values follow from."""
    found = []
    for number, folder in enumerate(launch_folders(directory, measured)):
        found.append(reading(folder, read_samples))
        if not found[-1].requests:
            raise damaged(folder / REQUESTS, "no request in it")
        if number >= len(measured.measurements) or not _follows(measured.measurements[number], found[-1]):
            raise damaged(folder / REQUESTS, "measured.json has other values than follow from these samples")
    return found


def _follows(said: Measurement, samples: Samples) -> bool:
    """Whether the values that a score is made of are those of the samples."""
    again = metrics.measurement(metrics.by_profile(samples), min_success_rate=0.0)
    pairs = ((getattr(said, metric.value), getattr(again, metric.value)) for metric in Metric)
    return all(one == other or (one and other and math.isclose(one, other, rel_tol=1e-9)) for one, other in pairs)


def probes(directory: Path, measured: Measured, planned: RequestSet) -> list[RequestSample]:
    """Samples of the probes that are not timed, of all launches; none where none were planned.

    Raises UserError when those of a launch are missing or damaged."""
    if all(request.counted for request in planned.requests):
        return []
    folders = [folder / PROBES for folder in launch_folders(directory, measured)]
    return [sample for folder in folders for sample in reading(folder, read_samples).requests]


def likelihoods(directory: Path, suite: Suite) -> tuple[Likelihood, ...] | None:
    """A measured run's texts under the reference model, of which there is at least one; None for random weights, whose
    texts nobody can read.

    Raises UserError when they are missing or damaged."""
    if suite.model.source.kind == "random":
        return None
    found = listen.read(directory)
    if not found:
        raise damaged(directory / listen.NAME / listen.FILE, "no text's likelihood in it")
    return found


def events(directory: Path) -> list[dict[str, Any]]:
    """The log of a run, oldest first. Raises UserError when it is missing or has no line: every phase wrote there."""
    path = directory / "events.jsonl"
    found = [event for event in reading(path, read_jsonl) if isinstance(event, dict)]
    if not found:
        raise damaged(path, "no event in it")
    return found
