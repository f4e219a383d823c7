"""Mid-run evaluations: a snapshot of the submission, launched in a sibling sandbox, measured on dev requests."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from inferencebench.errors import BenchError, UserError
from inferencebench.files import canonical_json, read_jsonl, write_jsonl
from inferencebench.gates.mini import Proportion, may_pass
from inferencebench.gates.quality import Answer
from inferencebench.load import store
from inferencebench.load.metrics import client_faults
from inferencebench.load.model import Measurement
from inferencebench.load.speculation import speculation
from inferencebench.run.bench import Bench
from inferencebench.run.clock import Clock
from inferencebench.run.freeze import NotFreezable, freeze
from inferencebench.run.ledger import Ledger
from inferencebench.run.measure import answered_enough, ask, measure_speed
from inferencebench.run.record import Evaluation
from inferencebench.run.relaunch import relaunched
from inferencebench.run.score import primary
from inferencebench.run.spec import RunSpec
from inferencebench.run.trial import StartupWatch, TrialPlan, TrialResult
from inferencebench.sandbox.contract import Sandbox
from inferencebench.sandbox.removal import remove_tree
from inferencebench.serve.server import Server, ServerFailed
from inferencebench.workload.model import Question, SpeedRequest
from inferencebench.workload.requests import WARMUP

EVALUATIONS = "evaluations.jsonl"
QUICK_SHARE = 0.2
QUICK_REQUESTS = 3
QUICK_QUESTIONS = 20
CANCEL_TIMEOUT_S = 60.0
"""For an evaluation whose server was just ended to notice it."""


class Busy(UserError):
    """The agent's own server, or another evaluation, holds the device."""


class Cancelled(Exception):
    """The session ended while an evaluation was under way."""


def _recorded(path: Path) -> list[Evaluation]:
    """The evaluations of a session that goes on after a crash of the harness."""
    return [Evaluation.model_validate(row) for row in read_jsonl(path)] if path.exists() else []


class Evaluator:
    """Runs one evaluation at a time for a session and appends each to `evaluations.jsonl`."""

    def __init__(
        self,
        spec: RunSpec,
        bench: Bench,
        sandbox: Sandbox,
        submission: Path,
        folder: Path,
        clock: Clock,
        dev: tuple[tuple[SpeedRequest, ...], tuple[Question, ...]],
        baseline: Proportion | None,
    ) -> None:
        self._spec, self._bench, self._sandbox = spec, bench, sandbox
        self._submission, self._folder = submission, folder
        self._requests, self._questions = dev
        self._baseline = baseline
        self._one_at_a_time = threading.Lock()
        self._cancelled = threading.Event()
        self._state = threading.Lock()
        self._server: Server | None = None
        self._snapshot_sha256 = ""
        self.clock = clock
        self.records = _recorded(folder / EVALUATIONS)
        self.device_busy: Callable[[], bool] = lambda: False
        """Whether the agent's own server is up; set by the session."""
        self.ledger: Ledger | None = None
        """Only under the ledger condition; set by the session."""

    def reserve(self) -> None:
        """Take the device for one evaluation; `run` gives it back.

        Raises Busy when it is taken."""
        if not self._one_at_a_time.acquire(blocking=False):
            raise Busy("device_busy: another evaluation is running")
        if self.device_busy():
            self._one_at_a_time.release()
            raise Busy("device_busy: stop your own server first, it would share the device with the measurement")

    def run(self, quick: bool, say: Callable[[str], None]) -> Evaluation:
        """Evaluate the submission as it is now, after `reserve`. Failures are records too."""
        try:
            return self._record(self._evaluate(quick, say))
        finally:
            self._one_at_a_time.release()

    def cancel(self) -> None:
        """End the evaluation under way, wait for its end, and accept no more."""
        with self._state:
            self._cancelled.set()
            server = self._server
        if server:
            server.stop(grace_s=0)
        self._one_at_a_time.acquire(timeout=CANCEL_TIMEOUT_S)

    def trial(self, number: int, plan: TrialPlan) -> TrialResult:
        """Launch the submission as it is now, measure it for a limited time, and ask dev questions; recorded like any
        evaluation.

        Raises Busy when the device is taken, ServerFailed when the server does not come up, BenchError for what is
        the harness's fault."""
        self.reserve()
        started = self.clock.elapsed_s
        result: TrialResult | None = None
        error: str | None = None
        try:
            result = self._tried(self._folder / f"trial-{number:04d}", plan)
            return result
        except (Cancelled, BenchError) as failed:
            error = str(failed)
            raise
        finally:
            self._server = None
            self._record(self._evaluation(started, result, error))
            self._one_at_a_time.release()

    def _tried(self, folder: Path, plan: TrialPlan) -> TrialResult:
        remove_tree(folder)
        limit = int(self._bench.suite.limits.submission_gib * 2**30)
        self._snapshot_sha256 = freeze(self._submission, folder / "submission", limit).sha256
        watch = StartupWatch(plan.startup, folder)

        def tick(seconds: float) -> None:
            self._check_cancelled()
            watch.look(seconds)

        began = time.monotonic()
        try:
            with relaunched(
                self._bench, self._sandbox, folder / "submission", folder, tick,
                expected_sha256=self._snapshot_sha256, home=plan.home, ready_s=plan.ready_s,
            ) as running:  # fmt: skip
                with self._state:
                    self._server = running.server
                self._check_cancelled()
                ready = time.monotonic()
                measurement = measure_speed(
                    running.server, self._bench, self._spec.the_scenario, self._requests, folder,
                    plan.measure_s, self._patience(plan),
                )  # fmt: skip
                measured = time.monotonic()
                worth = measurement.valid and plan.asks(measurement)
                wanted = self._questions[: plan.questions] if worth else ()
                patience_s = self._patience(plan)
                answers = ask(running.server, self._bench, wanted, patience_s, plan.ask_s) if wanted else []
                self._check_cancelled()
                asked = time.monotonic()
        finally:
            remove_tree(folder / "submission")
        return TrialResult(
            measurement, tuple(answers), ready - began, measured - ready, asked - measured,
            speculation(store.read_samples(folder)),
        )  # fmt: skip

    def _patience(self, plan: TrialPlan) -> float:
        """Never beyond the end of the budget."""
        return min(plan.patience_s, max(1.0, self.clock.remaining_s))

    def _evaluation(self, started: float, result: TrialResult | None, error: str | None) -> Evaluation:
        """The record of a trial. A time cap makes it a shortened one: quick, and never the best seen."""
        metric = self._spec.the_scenario.metric
        answers = result.answers if result else ()
        correct = sum(answer.correct for answer in answers)
        return Evaluation(
            id=len(self.records) + 1,
            at_s=started,
            seconds=self.clock.elapsed_s - started,
            quick=True,
            submission_sha256=self._snapshot_sha256,
            ok=bool(result and result.measurement.valid),
            error=error or ("; ".join(result.measurement.invalid_reasons) or None if result else None),
            metric=metric,
            value=primary(result.measurement, metric) if result else None,
            accuracy=correct / len(answers) if answers else None,
            quality_passed=self._may_pass(Proportion(correct, len(answers))) if answers else None,
            valid=result.measurement.valid if result else None,
        )

    def recall(self, path: Path) -> None:
        """Take over the evaluations of a session that was killed, from a copy of its `evaluations.jsonl`."""
        self.records = _recorded(path)
        write_jsonl(self._folder / EVALUATIONS, self.records)

    def keep(self, path: Path) -> None:
        """Copy the evaluations so far to where a killed session does not lose them."""
        write_jsonl(path, self.records)

    @property
    def workspace(self) -> Path:
        """The agent's workspace on the host."""
        return self._submission.parent

    @property
    def questions(self) -> int:
        """How many dev questions there are."""
        return len(self._questions)

    @property
    def bench(self) -> Bench:
        """The bench of the session, for the harness's own agents."""
        return self._bench

    def _check_cancelled(self, _: float = 0.0) -> None:
        if self._cancelled.is_set():
            raise Cancelled("the session ended during the evaluation")

    def _evaluate(self, quick: bool, say: Callable[[str], None]) -> Evaluation:
        started = self.clock.elapsed_s
        blank = Evaluation(
            id=len(self.records) + 1,
            at_s=started,
            seconds=0.0,
            quick=quick,
            submission_sha256="",
            ok=False,
            metric=self._spec.the_scenario.metric,
        )
        try:
            measured = self._measured(blank, say)
        except Cancelled as error:
            measured = blank.model_copy(update={"error": str(error)})
        except ServerFailed as error:
            measured = blank.model_copy(update={"error": f"{error}\n{error.log_tail}".strip()})
        except (BenchError, OSError, NotFreezable) as error:
            measured = blank.model_copy(update={"error": f"the submission could not be measured: {error}"})
        finally:
            self._server = None
        return measured.model_copy(
            update={"seconds": self.clock.elapsed_s - started, "submission_sha256": self._snapshot_sha256}
        )

    def _measured(self, blank: Evaluation, say: Callable[[str], None]) -> Evaluation:
        """Freeze, launch, measure, ask. The errors of each are the caller's."""
        self._snapshot_sha256 = ""
        folder = self._folder / f"{blank.id:04d}"
        limit = int(self._bench.suite.limits.submission_gib * 2**30)
        self._snapshot_sha256 = freeze(self._submission, folder / "submission", limit).sha256
        began = self.clock.elapsed_s
        measurement, answers = self._launched(folder, blank.quick, say)
        if self._spoilt(measurement) and self.clock.remaining_s > self.clock.elapsed_s - began:
            # As for a scored run, on a server that has not seen the requests: it could answer them from its cache.
            say("the measuring client was late; measuring once more")
            measurement, answers = self._launched(folder, blank.quick, say)
        correct = sum(answer.correct for answer in answers)
        value = primary(measurement, blank.metric)
        return blank.model_copy(
            update={
                "ok": measurement.valid and value is not None,
                "error": "; ".join(measurement.invalid_reasons) or None,
                "value": value,
                "accuracy": correct / len(answers),
                "quality_passed": self._may_pass(Proportion(correct, len(answers))),
                "valid": measurement.valid,
            }
        )

    def _launched(self, folder: Path, quick: bool, say: Callable[[str], None]) -> tuple[Measurement, list[Answer]]:
        """Serve the snapshot of the submission, measure it and ask it the questions."""
        requests, questions = self._subset(quick)
        say("launching a snapshot of the submission")
        launched = relaunched(
            self._bench,
            self._sandbox,
            folder / "submission",
            folder,
            self._check_cancelled,
            expected_sha256=self._snapshot_sha256,
        )
        with launched as running:
            with self._state:
                self._server = running.server
            self._check_cancelled()
            say(f"ready after {running.ready_s:.1f} s; sending {len(requests)} requests")
            measurement = measure_speed(running.server, self._bench, self._spec.the_scenario, requests, folder)
            say(f"asking {len(questions)} questions")
            answers = ask(running.server, self._bench, questions)
            self._check_cancelled()
        return measurement, answers

    def _spoilt(self, found: Measurement) -> bool:
        """Whether our own client, not the submission, makes a measurement invalid."""
        late = any(client_faults(profile) for profile in found.profiles)
        return late and answered_enough(found, self._spec.suite.min_success_rate)

    def _may_pass(self, found: Proportion) -> bool | None:
        """The mini gate against the baseline's eval answers; None while there is no baseline."""
        return may_pass(found, self._baseline, self._spec.suite.quality.tau) if self._baseline else None

    def _subset(self, quick: bool) -> tuple[tuple[SpeedRequest, ...], tuple[Question, ...]]:
        """All dev requests and questions, or the first fifth of one profile (at least 3) and 20 questions."""
        if not quick:
            return self._requests, self._questions
        first = self._spec.the_scenario.profiles[0].name
        timed = [r for r in self._requests if r.profile == first]
        count = max(QUICK_REQUESTS, round(QUICK_SHARE * len(timed)))
        warmup = [r for r in self._requests if r.profile == WARMUP]
        return (*warmup, *timed[:count]), self._questions[:QUICK_QUESTIONS]

    def _record(self, evaluation: Evaluation) -> Evaluation:
        self.records.append(evaluation)
        if self.ledger is not None:
            self.ledger.keep(evaluation, self._folder / f"{evaluation.id:04d}" / "submission")
        shutil.rmtree(self._folder / f"{evaluation.id:04d}" / "submission", ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / EVALUATIONS).open("ab") as file:
            file.write(canonical_json(evaluation) + b"\n")
        return evaluation
