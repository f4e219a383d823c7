"""The phases of a run, one function each, in order. Each reads files, writes files, and is skipped when it is done."""

import time
from pathlib import Path
from typing import NamedTuple, Self

from inferencebench import MEASUREMENT_VERSION
from inferencebench.agents import prices
from inferencebench.agents.contract import Agent, SolveSession
from inferencebench.errors import InfrastructureError, MissingError
from inferencebench.files import read_jsonl, sha256_json, write_atomic, write_json, write_jsonl
from inferencebench.gates.quality import Answer
from inferencebench.load.metrics import client_faults
from inferencebench.run import workspace
from inferencebench.run.baseline import Baseline
from inferencebench.run.bench import Bench
from inferencebench.run.clock import Clock
from inferencebench.run.evaluate import Evaluator
from inferencebench.run.events import EventLog
from inferencebench.run.freeze import NotFreezable, diff, freeze
from inferencebench.run.launches import Device, LiveServer
from inferencebench.run.ledger import Ledger
from inferencebench.run.measure import answered_enough, ask, graded, measure_speed
from inferencebench.run.phases import Phase
from inferencebench.run.record import Launch, Machine, Manifest, Measured, ServerFailure, Session
from inferencebench.run.score import primary
from inferencebench.run.service import serving
from inferencebench.run.spec import RunSpec
from inferencebench.run.trace import Trace
from inferencebench.sandbox.contract import Sandbox
from inferencebench.sandbox.removal import remove_tree
from inferencebench.serve import telemetry
from inferencebench.serve.server import Server, ServerFailed
from inferencebench.suites.model import Record
from inferencebench.workload.model import QuestionSet, RequestSet
from inferencebench.workload.questions import build_questions, read_questions
from inferencebench.workload.requests import Side, build_requests, read_requests

ATIF = "trajectory.atif.json"
PROMPT = "prompt.md"
"""The task as it was given, in the solve phase's folder."""


class Served(NamedTuple):
    """A ready server, and the record of its launch."""

    server: Server
    launch: Launch


class Prepared(NamedTuple):
    """The request and question sets of a run."""

    dev: RequestSet
    eval: RequestSet
    dev_questions: QuestionSet
    eval_questions: QuestionSet


class RunContext:
    """One run under way: its directory, its log, and what its group holds."""

    def __init__(
        self, spec: RunSpec, bench: Bench, agent: Agent, sandbox: Sandbox, device: Device, server: LiveServer
    ) -> None:
        self.spec, self.bench, self.agent, self.sandbox = spec, bench, agent, sandbox
        self.directory = spec.directory(bench.out)
        self.events = EventLog(self.directory / "events.jsonl")
        self._device, self._server = device, server

    def phase(self, name: str, **inputs: object) -> Phase:
        """The phase `name` with the given inputs; tells the reporter whether it is skipped."""
        phase = Phase(self.directory, name, inputs, self.events)
        self.bench.reporter.phase(
            str(self.directory.relative_to(self.bench.out)), name, skipped=phase.stamp is not None
        )
        return phase

    def hold_device(self) -> None:
        """Wait until no other run of this machine works on the device, unless the spec shares it."""
        self._device.hold(self.events)

    def serve(self, logs: Path, *, fresh: bool) -> Served:
        """The running server of the frozen submission; launched anew when `fresh` or when none is alive.

        Raises ServerFailed when it does not become ready."""
        frozen = self.directory / "freeze"
        manifest = Manifest.model_validate_json((frozen / "manifest.json").read_bytes())
        kept = self.bench.engine_home if self.agent_is_ours else None
        live, me = self._server, self.spec.scenario.value
        running = live.get(
            frozen / "submission", manifest.sha256, logs, (me, self.events), self.sandbox, kept, self.hold_device,
            fresh=fresh,
        )  # fmt: skip
        after = tuple(name for name in live.scenarios if name != me)
        launch = running.launch.model_copy(update={"after": after, "kept_home": kept is not None})
        return Served(running.server, launch)

    @property
    def agent_is_ours(self) -> bool:
        """Whether the launcher is the harness's own text, so that nothing hostile runs: its HOME may be kept."""
        return getattr(self.agent, "launchers_are_ours", False)

    def stop_server(self) -> None:
        """End the group's running server, if there is one."""
        self._server.stop()


def prepare(run: RunContext) -> Prepared:
    """Build the seeded request and question sets of both sides."""
    spec, bench = run.spec, run.bench
    phase = run.phase(
        "prepare",
        suite=spec.suite_sha256,
        scenario=spec.scenario,
        seeds=str(spec.seed_pair),
        salt=bench.salt_sha256,
        corpus=bench.corpus.sha256,
        checkpoint=bench.checkpoint.sha256,
        questions=bench.questions_source,
    )
    names = ("dev.jsonl", "eval.jsonl", "dev_questions.jsonl", "eval_questions.jsonl")
    paths = [phase.folder / name for name in names]
    if phase.stamp is None:
        with phase.begin() as outputs:
            sides: tuple[tuple[Side, int, Path, Path], ...] = (
                ("dev", spec.seed_pair.dev, paths[0], paths[2]),
                ("eval", spec.seed_pair.eval, paths[1], paths[3]),
            )
            for side, seed, requests, questions in sides:
                build_requests(
                    spec.suite,
                    spec.the_scenario,
                    seed=seed,
                    side=side,
                    salt=bench.salt,
                    tokenizer=bench.tokenizer,
                    corpus=bench.corpus,
                    out=requests,
                )
                source = bench.sources.mmlu_pro
                build_questions(spec.suite, seed=seed, side=side, salt=bench.salt, out=questions, source=source)
            outputs += paths
    return Prepared(
        read_requests(paths[0]), read_requests(paths[1]), read_questions(paths[2]), read_questions(paths[3])
    )


def solve(run: RunContext, prepared: Prepared, baseline: Baseline | None) -> Session:
    """Let the agent work in its workspace until it is done or the clock is over."""
    phase = run.phase(
        "solve",
        agent=run.spec.agent,
        files=run.spec.agent_sha256,
        condition=run.spec.condition.name,
        dev=prepared.dev.sha256,
        sandbox=run.spec.sandbox,
    )
    record = phase.folder / "session.json"
    if phase.stamp is None:
        run.hold_device()
        resumed = Begun.of(phase) if getattr(run.agent, "resumable", False) else None
        with phase.begin(keep=resumed is not None) as outputs:
            folder = run.bench.scratch(phase.folder, keep=resumed is not None)
            if resumed is None:
                write_atomic(phase.folder / PROMPT, workspace.build(folder, run.spec, run.bench, prepared.dev))
            elif (phase.folder / "workspace").is_dir():
                folder.rmdir()
                (phase.folder / "workspace").rename(folder)
            session = _session(run, phase, folder, prepared, baseline, resumed)
            folder.rename(phase.folder / "workspace")
            write_json(record, session)
            write_json(phase.folder / ATIF, Trace(run.directory).atif())
            outputs += [record, phase.folder / PROMPT, phase.folder / ATIF]
    return Session.model_validate_json(record.read_bytes())


class Begun(Record):
    """When a session that outlives the harness was begun: `begun.json`, written before its first step."""

    inputs_sha256: str
    epoch_s: float

    @classmethod
    def of(cls, phase: Phase) -> Self | None:
        """That of an unfinished session with the same inputs; None: there is none to continue."""
        try:
            begun = cls.model_validate_json((phase.folder / "begun.json").read_bytes())
        except (OSError, ValueError):
            return None
        return begun if begun.inputs_sha256 == phase.inputs_sha256 else None


def _session(
    run: RunContext, phase: Phase, folder: Path, prepared: Prepared, baseline: Baseline | None, resumed: Begun | None
) -> Session:
    logs = phase.folder
    # An agent that begins anew after a kill may know of time that it had used before.
    spent_s = float(getattr(run.agent, "spent_s", lambda folder: 0.0)(logs))
    begun = resumed or Begun(inputs_sha256=phase.inputs_sha256, epoch_s=time.time() - spent_s)
    clock = Clock.since(run.spec.budget_s, begun.epoch_s)
    write_json(logs / "begun.json", begun)
    scratch = run.bench.scratch(phase.folder / "scratch", keep=resumed is not None)
    evaluator = Evaluator(
        run.spec,
        run.bench,
        run.sandbox,
        folder / "submission",
        logs / "evaluations",
        clock,
        (prepared.dev.requests, prepared.dev_questions.questions),
        baseline.accuracy if baseline else None,
    )
    if run.spec.condition.prompt == "ledger":
        metric, limit = run.spec.the_scenario.metric, int(run.spec.suite.limits.submission_gib * 2**30)
        values = [primary(m, metric) for m in baseline.measured.measurements] if baseline else []
        evaluator.ledger = Ledger(metric, logs / "ledger", limit, [v for v in values if v is not None])
    with serving(evaluator) as socket_dir:
        spec = workspace.session_spec(folder, socket_dir, run.bench)
        session = SolveSession(
            run.spec.suite, run.spec.the_scenario, folder, clock, run.sandbox, spec, logs, evaluator=evaluator,
            scratch=scratch, prompt=(logs / PROMPT).read_text(), prices=prices.load(run.bench.out),
            net=run.spec.condition.net,
        )  # fmt: skip
        evaluator.device_busy = session.serves
        try:
            ended = run.agent.solve(session)
        except MissingError:
            (logs / "begun.json").unlink()  # the agent had no chance: the next call starts afresh
            raise
        finally:
            evaluator.cancel()
    remove_tree(scratch)
    return Session(
        agent=run.spec.agent,
        ended=ended.how,
        exit_code=ended.exit_code,
        seconds=clock.elapsed_s,
        survivors=ended.survivors,
        evaluations=tuple(evaluator.records),
    )


def freeze_submission(run: RunContext, session: Session) -> Manifest | ServerFailure:
    """Copy the submission out of the workspace and name it by its content."""
    phase = run.phase("freeze", session=sha256_json(session))
    record, failed = phase.folder / "manifest.json", phase.folder / "failure.json"
    if phase.stamp is None:
        with phase.begin() as outputs:
            source = run.directory / "solve" / "workspace" / "submission"
            limit = int(run.spec.suite.limits.submission_gib * 2**30)
            try:
                manifest = freeze(source, phase.folder / "submission", limit)
                write_json(record, manifest)
                write_atomic(phase.folder / "diff.patch", diff(None, phase.folder / "submission", manifest))
                outputs += [record, phase.folder / "diff.patch"]
            except NotFreezable as error:
                write_json(failed, ServerFailure(reason=str(error)))
                outputs.append(failed)
    if failed.exists():
        return ServerFailure.model_validate_json(failed.read_bytes())
    return Manifest.model_validate_json(record.read_bytes())


def measure(run: RunContext, prepared: Prepared, submission: Manifest | ServerFailure) -> Measured:
    """Relaunch the frozen submission in a fresh sandbox and measure it on the eval requests."""
    bench = run.bench
    key = bench.comparability(run.spec, prepared.eval.sha256, prepared.eval_questions.sha256)
    phase = run.phase("measure", submission=sha256_json(submission), key=key)
    record = phase.folder / "measured.json"
    if phase.stamp is None:
        run.hold_device()
        (run.directory / "result.json").unlink(missing_ok=True)
        with phase.begin() as outputs:
            write_json(phase.folder / "comparability.json", key)
            write_json(phase.folder / "machine.json", _machine(run))
            write_json(record, _measured(run, prepared, submission, phase.folder))
            samples = phase.folder.glob("launch-*/**/*.parquet")
            outputs += [record, phase.folder / "comparability.json", phase.folder / "machine.json", *samples]
    return Measured.model_validate_json(record.read_bytes())


def _machine(run: RunContext) -> Machine:
    bench = run.bench
    return Machine(
        hardware=bench.hardware,
        peaks=bench.peaks,
        server_cpus=bench.cores.server,
        client_cpus=bench.cores.client,
        software=bench.software,
        checkpoint_sha256=bench.checkpoint.sha256,
        salt_sha256=bench.salt_sha256,
        sandbox_verified=run.sandbox.verified,
    )


def _measured(run: RunContext, prepared: Prepared, submission: Manifest | ServerFailure, folder: Path) -> Measured:
    if isinstance(submission, ServerFailure):
        return Measured(measurement_version=MEASUREMENT_VERSION, launches=(), measurements=(), failure=submission)
    launches: list[Launch] = []
    measurements = []
    failure: ServerFailure | None = None
    count = run.spec.suite.baseline_launches if run.spec.is_baseline else 1
    for number in range(count):
        logs = folder / f"launch-{number}"
        try:
            running = run.serve(logs, fresh=count > 1)
        except ServerFailed as error:
            failure = ServerFailure(reason=error.reason, log_tail=error.log_tail, exit_code=error.server_exit_code)
            break
        launches.append(running.launch)
        logs.mkdir(parents=True, exist_ok=True)  # a shared launch logs elsewhere
        with telemetry.watching(running.server, logs, run.bench.cores.server, run.bench.gpus):
            measurement = measure_speed(running.server, run.bench, run.spec.the_scenario, prepared.eval.requests, logs)
        measurements.append(measurement)
        if not answered_enough(measurement, run.spec.suite.min_success_rate):
            reason = "; ".join(measurement.invalid_reasons)
            failure = ServerFailure(reason=reason, log_tail=running.server.log_tail(20))
            break
        if faults := [fault for profile in measurement.profiles for fault in client_faults(profile)]:
            raise InfrastructureError("; ".join(faults))
    return Measured(
        measurement_version=MEASUREMENT_VERSION,
        launches=tuple(launches),
        measurements=tuple(measurements),
        failure=failure,
    )


def quality(
    run: RunContext, prepared: Prepared, submission: Manifest | ServerFailure, measured: Measured
) -> list[Answer]:
    """Ask the eval questions once per submission and question set; scenarios of one submission share the answers."""
    asked = {
        "submission": sha256_json(submission),
        "questions": prepared.eval_questions.sha256,
        "checkpoint": run.bench.checkpoint.sha256,
        "hardware": run.bench.hardware.sha256,
        "software": run.bench.versions,
        "sandbox": run.spec.sandbox,
        "measurement_version": MEASUREMENT_VERSION,
        "repeat": run.spec.repeat,
        "failed": measured.failure is not None,
    }
    key = sha256_json(asked)
    phase = run.phase("quality", key=key)
    record = phase.folder / "answers.jsonl"
    shared = run.bench.out / run.spec.suite.name / ".quality" / f"{key}.jsonl"
    if phase.stamp is None:
        with phase.begin() as outputs:
            if measured.failure is not None:
                answers: list[Answer] = []
            elif shared.exists():
                answers = [Answer.model_validate(row) for row in read_jsonl(shared)]
                run.events.append("quality_shared", key=key)
            else:
                answers = _asked(run, prepared, phase.folder)
                if all(answer.error is None for answer in answers):
                    write_jsonl(shared, [a.model_dump(mode="json") for a in answers])
            write_jsonl(record, [a.model_dump(mode="json") for a in answers])
            outputs.append(record)
    return [Answer.model_validate(row) for row in read_jsonl(record)]


def _asked(run: RunContext, prepared: Prepared, logs: Path) -> list[Answer]:
    try:
        return ask(run.serve(logs, fresh=False).server, run.bench, prepared.eval_questions.questions)
    except ServerFailed as error:
        run.events.append("quality_server_failed", reason=error.reason)
        return graded(prepared.eval_questions.questions, [])
