"""Whole run directories of made-up measurements, for tests of what judges and shows them."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from inferencebench.doctor.hardware import HardwareFingerprint
from inferencebench.files import sha256_file, sha256_json, write_json, write_jsonl
from inferencebench.gates.integrity import registry
from inferencebench.gates.integrity.likelihood import Likelihood, Score
from inferencebench.gates.integrity.model import Check
from inferencebench.gates.integrity.processes import Survivors
from inferencebench.gates.integrity.tokens import ForcedLength
from inferencebench.gates.quality import Answer
from inferencebench.load.metrics import by_profile, measurement
from inferencebench.load.model import ChunkSample, RequestSample, Samples
from inferencebench.load.store import write_samples
from inferencebench.run.judge import write_result
from inferencebench.run.phases import Stamp
from inferencebench.run.pipeline import rejudge
from inferencebench.run.record import Evaluation, Launch, Machine, Manifest, Measured, ServerFailure, Session
from inferencebench.run.spec import Condition, RunSpec
from inferencebench.suites.load import load
from inferencebench.suites.model import ScenarioName
from inferencebench.workload.model import Message, Question, SpeedRequest
from inferencebench.workload.records import write_records

ASK = (Message(role="user", content="Count."),)
TOKENS = 12
PHASES = ("prepare", "solve", "freeze", "measure", "quality", "likelihood")
ANSWERS = (Answer(question_id="q", text="x", error=None, parsed="x", correct=True),)

ONE_TOKEN = Score(tokens=1, deficit_nats=0.0, variance_nats2=1.0, top1=1)
SCORED = Likelihood(id="burst/0000", whole=ONE_TOKEN, opening=ONE_TOKEN, logp_nats=-1.0)
"""Too few tokens to say anything."""


def sample(number: int, *, finish_reason: str | None) -> RequestSample:
    """An answer of 12 tokens, 50 ms each."""
    return RequestSample(
        id=f"burst/{number:04d}",
        profile="burst",
        ok=True,
        error=None,
        status=200,
        scheduled_s=0.0,
        sent_s=float(number),
        first_s=number + 0.5,
        end_s=number + 0.5 + 0.05 * (TOKENS - 1),
        prompt_tokens=100,
        max_tokens=TOKENS,
        usage_prompt_tokens=100,
        usage_completion_tokens=TOKENS,
        cached_tokens=None,
        output_tokens=TOKENS,
        first_chunk_tokens=1,
        finish_reason=finish_reason,
        text=f"word {number} " * 4,
        chunks=TOKENS,
        counted_tokens=TOKENS,
    )


def only_checks(monkeypatch: pytest.MonkeyPatch, *more: Check) -> None:
    """Judge by two checks whose evidence these small records hold, and by `more`."""
    monkeypatch.setattr(registry, "BUILTIN", (ForcedLength(), Survivors(), *more))


def with_chunks(requests: Sequence[RequestSample]) -> Samples:
    """The requests, and one chunk of each that was answered."""
    return Samples(list(requests), [ChunkSample(r.id, 0, 0.0, 1, "x", False) for r in requests if r.ok])


def finish(run: Path) -> Path:
    """Name the sets that a run was asked, judge it, and store what follows."""
    sets = {"requests": "eval.jsonl", "questions": "eval_questions.jsonl"}
    key = {name: sha256_file(run / "prepare" / file) for name, file in sets.items()}
    write_json(run / "measure" / "comparability.json", key)
    write_result(run, rejudge(run, None))
    return run


def stamp(run: Path, phase: str, *names: str) -> None:
    """Stamp a phase with the hashes of its files as they are."""
    outputs = {name: sha256_file(run / phase / name) for name in names}
    write_json(run / phase / "phase.json", Stamp(phase=phase, inputs_sha256="", outputs=outputs, seconds=1.0))


def stored_run(
    out: Path,
    agent: str,
    *,
    suite_name: str = "laptop-mini",
    scenario: ScenarioName = "balanced",
    finish_reason: str | None = "length",
    tokens: int = TOKENS,
    failure: ServerFailure | None = None,
    evaluations: tuple[Evaluation, ...] = (),
    answers: Sequence[Answer] = ANSWERS,
    finished: bool = True,
) -> Path:
    """A whole run directory with samples. A missing finish reason asks for a review; too few tokens fail.

    With `failure` there is no measurement: that is how the server ended. Who changes something before it is judged asks
    for one that is not `finished`."""
    suite = load(suite_name)
    spec = RunSpec.create(
        suite,
        scenario=scenario,
        agent=agent,
        agent_sha256=sha256_json(agent),
        condition=Condition(),
        seed_pair=suite.seed_pairs[0],
        sandbox="bubblewrap",
    )
    folder = spec.directory(out)
    write_json(folder / "spec.json", spec)
    hardware = HardwareFingerprint(cpu_model="any", cores=2, memory_gib=8, kernel="6", architecture="x86_64", gpus=())
    machine = Machine(
        hardware=hardware,
        peaks=None,
        server_cpus=(0,),
        client_cpus=(1,),
        software={},
        checkpoint_sha256="",
        salt_sha256="",
        sandbox_verified=True,
    )
    write_json(folder / "measure" / "machine.json", machine)
    samples = [sample(i, finish_reason=finish_reason) for i in range(4)]
    samples = [s.model_copy(update={"usage_completion_tokens": tokens}) for s in samples]
    recorded = with_chunks(samples)
    if failure is None:
        write_samples(folder / "measure" / "launch-0", recorded)
    measured = Measured(
        measurement_version=1,
        launches=() if failure else (Launch(ready_s=1.0, limits={}),),
        measurements=() if failure else (measurement(by_profile(recorded), 0.98),),
        failure=failure,
    )
    write_json(folder / "measure" / "measured.json", measured)
    write_json(
        folder / "solve" / "session.json",
        Session(agent=agent, ended="finished", exit_code=0, seconds=1.0, survivors=(), evaluations=evaluations),
    )
    requests = [
        SpeedRequest(
            id=s.id,
            profile="burst",
            messages=ASK,
            prompt_tokens=100,
            max_tokens=TOKENS,
            temperature=0.4,
            seed=1,
            offset_s=0,
        )
        for s in samples
    ]
    write_records(folder / "prepare" / "eval.jsonl", requests)
    questions = [Question(id=answer.question_id, messages=ASK, gold="x") for answer in answers]
    write_records(folder / "prepare" / "eval_questions.jsonl", questions)
    kept = [] if failure else [answer.model_dump(mode="json") for answer in answers]
    write_jsonl(folder / "quality" / "answers.jsonl", kept)
    write_jsonl(folder / "likelihood" / "likelihood.jsonl", [] if failure else [SCORED.model_dump(mode="json")])
    if failure is None:
        manifest = Manifest(files=(), left_out=(), sha256=sha256_json(agent), bytes=0)
        write_json(folder / "freeze" / "manifest.json", manifest)
    (folder / "events.jsonl").write_text('{"event": "server_stopped", "survivors": []}\n')
    for phase in PHASES:
        stamp(folder, phase)
    (folder / "freeze" / "diff.patch").write_text("+++ submission/start_server.sh\n")
    return finish(folder) if finished else folder
