"""What a measurement left in its run directory, read back. What is missing is an error: its absence clears no run."""

import math
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from inferencebench.files import read_jsonl, sha256_file
from inferencebench.gates.integrity.likelihood import Likelihood
from inferencebench.load import metrics
from inferencebench.load.model import Measurement, RequestSample, Samples
from inferencebench.load.store import CHUNKS, REQUESTS, read_samples
from inferencebench.run import listen
from inferencebench.run.damage import LOG, damaged
from inferencebench.run.measure import PROBES
from inferencebench.run.phases import STAMP, Stamp
from inferencebench.run.record import Measured
from inferencebench.suites.model import Metric, Record, Suite
from inferencebench.suites.unreadable import unreadable
from inferencebench.workload.model import RequestSet

T = TypeVar("T")
AnyRecord = TypeVar("AnyRecord", bound=Record)

READ = {
    "prepare": ("eval.jsonl", "eval_questions.jsonl"),
    "solve": ("session.json",),
    "freeze": ("manifest.json",),
    "measure": ("measured.json", "machine.json", "comparability.json", "launch-*.parquet"),
    "quality": ("answers.jsonl",),
    "likelihood": (listen.FILE,),
}
"""Phase → patterns of its files that judging reads. A copy of a record may leave out the rest."""


def reading(path: Path, read: Callable[[Path], T], model: type[BaseModel] = BaseModel) -> T:
    """A part of a record. Raises UserError, in one line, whatever is wrong with the file; `model`: what is in it."""
    try:
        return read(path)
    except Exception as error:
        raise damaged(path, unreadable(error, model)) from None


def record(path: Path, model: type[AnyRecord]) -> AnyRecord:
    """A record of one JSON document. Raises UserError when it is missing or damaged."""
    return reading(path, lambda p: model.model_validate_json(p.read_bytes()), model)


def check_unchanged(directory: Path) -> None:
    """Whether what judging reads is what the phases wrote, by the hashes in their stamps.

    A file that is gone is said by whoever reads it, a phase that has no stamp by `phases.finished_seconds`.

    Raises UserError, naming the file, when one was cut off or edited since."""
    for phase, patterns in READ.items():
        folder = directory / phase
        if not (folder / STAMP).exists():
            continue
        for name, sha256 in record(folder / STAMP, Stamp).outputs.items():
            path = folder / name
            is_read = any(fnmatch(name, pattern) for pattern in patterns)
            if is_read and path.is_file() and reading(path, sha256_file) != sha256:
                raise damaged(path, f"not what the phase wrote, whose hash is in {folder / STAMP}")


def launch_folders(directory: Path, measured: Measured) -> list[Path]:
    """The folder of each launch's samples, of a run that was measured to its end.

    Raises UserError when one has none, or launches and measurements are not as many."""
    if not len(measured.launches) == len(measured.measurements) >= 1:
        counts = f"{len(measured.launches)} launches, {len(measured.measurements)} measurements"
        raise damaged(directory / "measure" / "measured.json", counts)
    folders = [directory / "measure" / f"launch-{number}" for number in range(len(measured.launches))]
    for path in (folder / name for folder in folders for name in (REQUESTS, CHUNKS)):
        if not path.is_file():
            raise damaged(path, "no such file")
    return folders


def samples(directory: Path, measured: Measured) -> list[Samples]:
    """Timed samples of each launch.

    Raises UserError when a launch has none, or damaged ones, or others than its measured values follow from."""
    folders = launch_folders(directory, measured)
    return [_timed(folder, said) for folder, said in zip(folders, measured.measurements, strict=True)]


def _timed(folder: Path, said: Measurement) -> Samples:
    found = _whole(folder)
    if not found.requests:
        raise damaged(folder / REQUESTS, "no request in it")
    if not reading(folder, lambda _: _follows(said, found)):
        raise damaged(folder / REQUESTS, "measured.json has other values than follow from these samples")
    return found


def _whole(folder: Path) -> Samples:
    """Samples in which every request that was answered has its chunks. Raises UserError otherwise."""
    found = reading(folder, read_samples)
    chunks = Counter(chunk.request for chunk in found.chunks)
    bare = [request.id for request in found.requests if request.ok and not chunks[request.id]]
    if bare:
        raise damaged(folder / CHUNKS, f"no chunk of {bare[0]!r}, which was answered")
    return found


def _follows(said: Measurement, samples: Samples) -> bool:
    """Whether the values that a score is made of are those of the samples."""
    again = metrics.measurement(metrics.by_profile(samples), min_success_rate=0.0)
    pairs = ((getattr(said, metric.value), getattr(again, metric.value)) for metric in Metric)
    return all(one == other or (one and other and math.isclose(one, other, rel_tol=1e-9)) for one, other in pairs)


def probes(directory: Path, measured: Measured, planned: RequestSet) -> list[RequestSample]:
    """Samples of the probes that are not timed, of all launches; none where none were planned.

    Raises UserError when those of a launch are missing or damaged, or are of other requests than were planned."""
    wanted = sorted(request.id for request in planned.requests if not request.counted)
    if not wanted:
        return []
    found = []
    for folder in (launch / PROBES for launch in launch_folders(directory, measured)):
        own = _whole(folder).requests
        if sorted(sample.id for sample in own) != wanted:
            raise damaged(folder / REQUESTS, f"not the {len(wanted)} probes of the plan")
        found += own
    return found


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
    path = directory / LOG
    found = [event for event in reading(path, read_jsonl) if isinstance(event, dict)]
    if not found:
        raise damaged(path, "no event in it")
    return found
