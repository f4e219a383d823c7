"""Reading the timed texts under the reference model: a phase of its own, whose result judging needs no model for."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from inferencebench.errors import InfrastructureError
from inferencebench.files import read_jsonl, sha256_bytes, sha256_file, sha256_json, write_json, write_jsonl
from inferencebench.gates.integrity.likelihood import Likelihood
from inferencebench.gates.integrity.teacher import Job, Text
from inferencebench.load.model import RequestSample
from inferencebench.load.store import read_samples
from inferencebench.run.measure import PROBES
from inferencebench.run.record import Measured
from inferencebench.sandbox.namespaces import die_with_parent
from inferencebench.suites.model import Suite
from inferencebench.workload.model import RequestSet, SpeedRequest

if TYPE_CHECKING:
    from inferencebench.run.stages import RunContext

VERSION = 2
"""Of the way texts are chosen and scored."""
NAME = "likelihood"
FILE = "likelihood.jsonl"
TOKENS = {"cpu": 3000, "cuda": 200_000}
"""Prompt and answer tokens that are read at most, by kind of hardware: about 12 s on one core, a minute on a GPU."""
TIMEOUT_S = 900.0


def listen(run: "RunContext", requests: RequestSet, measured: Measured) -> None:
    """Score the texts of the first launch, as many as the budget allows; an empty file where there are none.

    Raises InfrastructureError when the reference cannot be run."""
    samples = run.directory / "measure" / "launch-0" / "requests.parquet"
    spec, bench = run.spec, run.bench
    inputs = {
        "version": VERSION,
        "samples": sha256_file(samples) if samples.exists() else None,
        "measured": sha256_json(measured),
        "checkpoint": bench.checkpoint.sha256,
    }
    phase = run.phase(NAME, **inputs)
    if phase.stamp is not None:
        return
    with phase.begin() as outputs:
        out = phase.folder / FILE
        texts = []
        if measured.failure is None and spec.suite.model.source.kind != "random":
            salt = run.bench.salt
            answers = read_samples(samples.parent).requests + _probes(samples.parent / PROBES)
            texts = chosen(spec.suite, requests.requests, answers, salt)
        if texts:
            run.stop_server()
            run.hold_device()
            job = Job(
                checkpoint=str(bench.checkpoint.path),
                threads=len({*bench.cores.server, *bench.cores.client}),  # no server runs now
                device=spec.suite.hardware.kind,
                texts=tuple(texts),
            )
            _teach(job, phase.folder, out)
        else:
            write_jsonl(out, [])
        outputs.append(out)


def _probes(folder: Path) -> list[RequestSample]:
    return read_samples(folder).requests if (folder / "requests.parquet").exists() else []


def chosen(suite: Suite, requests: tuple[SpeedRequest, ...], samples: list[RequestSample], salt: bytes) -> list[Text]:
    """Answered requests, probes first, in an order that follows from the salt, within the budget of tokens; at least
    one."""
    planned = {request.id: request for request in requests if request.probe != "canary"}
    answered = [s for s in samples if s.ok and s.id in planned and s.text]
    answered.sort(key=lambda s: (not planned[s.id].probe, sha256_bytes(salt + s.id.encode())))
    left = TOKENS[suite.hardware.kind]
    texts: list[Text] = []
    for sample in answered:
        request = planned[sample.id]
        left -= request.prompt_tokens + request.max_tokens
        if left < 0 and texts:
            break
        texts.append(
            Text(
                id=sample.id,
                messages=request.messages,
                text=sample.text,
                temperature=request.temperature,
                forced=True,
            )
        )
    return texts


def read(directory: Path) -> tuple[Likelihood, ...] | None:
    """What was scored of a run; None for a run that has no such phase, or a damaged file."""
    try:
        return tuple(Likelihood.model_validate(row) for row in read_jsonl(directory / NAME / FILE))
    except (OSError, ValueError):
        return None


def _teach(job: Job, folder: Path, out: Path) -> None:
    """Run the teacher in a process of its own."""
    job_file = folder / "job.json"
    write_json(job_file, job)
    argv = [sys.executable, "-m", "inferencebench.gates.integrity.teacher", str(job_file), str(out)]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
            preexec_fn=die_with_parent,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise InfrastructureError(f"the reference did not read the texts within {TIMEOUT_S:.0f} s") from None
    if done.returncode or not out.exists():
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
        raise InfrastructureError(f"the reference could not read the texts: {last}")
    job_file.unlink()
