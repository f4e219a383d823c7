"""Trials of a search through a session's evaluation service, like any agent's evaluations."""

import json
from collections.abc import Callable
from math import inf
from pathlib import Path

from inferencebench.agents.contract import SolveSession
from inferencebench.engines import registry as engines
from inferencebench.errors import BenchError
from inferencebench.files import write_atomic, write_json
from inferencebench.load.metrics import client_faults
from inferencebench.load.model import Measurement
from inferencebench.load.speculation import Speculation
from inferencebench.run.evaluate import Evaluator
from inferencebench.run.score import primary
from inferencebench.run.trial import TrialPlan, TrialResult
from inferencebench.search.gate import paired
from inferencebench.search.journal import Journal
from inferencebench.search.policy import LEAST_GATE, measure_cap_s
from inferencebench.search.trials import Candidate, Reading, Status
from inferencebench.serve.server import ServerFailed
from inferencebench.suites.model import Metric

REFERENCE_SHARE, LEAST_REFERENCE_S = 0.12, 60.0
"""Of the budget, for the questions that the first default answers: as many are a full gate from then on."""

LEAST_RIGHT = 5
"""Right answers of the default below which its questions tell nothing: a few are chance."""


class SessionMachine:
    """Runs a search's trials. What must outlive a kill lies in `beside`, next to the phase's folder, which is emptied
    when a killed run starts again."""

    def __init__(
        self,
        launcher: Callable[[Candidate], str],
        session: SolveSession,
        evaluator: Evaluator,
        journal: Journal,
        beside: Path,
    ) -> None:
        self._launcher, self._session, self._evaluator, self._journal = launcher, session, evaluator, journal
        self._reference_path = beside / "search-reference.json"
        self._evaluations_path = beside / "search-evaluations.jsonl"
        self._reference: dict[str, bool] | None = None
        resumed = bool(journal.entries)
        if resumed and self._reference_path.exists():
            self._reference = json.loads(self._reference_path.read_bytes())
        if resumed and self._evaluations_path.exists():
            evaluator.recall(self._evaluations_path)
        # Compile caches: what one trial compiled, no other trial and no measurement of the winner need compile again.
        self._home = evaluator.bench.engine_home
        self._measure_s = measure_cap_s(session.clock.budget_s)

    @property
    def full_questions(self) -> int:
        """Those that the default answered, all of them before it has; none where it answers too few, or too few rightly
        (random weights): nothing is compared then."""
        if self._reference is None:
            return self._evaluator.questions
        enough = len(self._reference) >= min(LEAST_GATE, self._evaluator.questions)
        return len(self._reference) if enough and sum(self._reference.values()) >= LEAST_RIGHT else 0

    def elapsed_s(self) -> float:
        """The session's clock, which counts what sessions before a kill used."""
        return self._session.clock.elapsed_s

    def run(self, candidate: Candidate, questions: int, deadline_s: float, worth: float = inf) -> Reading:
        """Write the launcher, and let the evaluator try it."""
        write_launcher(self._session.workspace, self._launcher(candidate))
        # The first default is the reference of every gate: it answers all that it has time for, and sets the pace.
        first = self._reference is None and not candidate.configuration
        plan = self._plan(candidate, questions, max(1.0, deadline_s - self.elapsed_s()), worth, first=first)
        began = self.elapsed_s()
        try:
            result = self._evaluator.trial(len(self._journal.entries) + 1, plan)
        except ServerFailed as error:
            return Reading(status=Status.CRASHED, reason=str(error), launch_s=self.elapsed_s() - began)
        except BenchError as error:
            return Reading(status=Status.INFRASTRUCTURE, reason=str(error), launch_s=self.elapsed_s() - began)
        finally:
            self._evaluator.keep(self._evaluations_path)
        return self._reading(result, first=first)

    def _plan(self, candidate: Candidate, questions: int, left_s: float, worth: float, *, first: bool) -> TrialPlan:
        """How long a trial may take, and what it asks."""
        metric = self._session.scenario.metric
        startup = engines.get(candidate.engine).startup
        return TrialPlan(
            startup=startup,
            measure_s=self._measure_s,
            questions=self.full_questions if first else min(questions, self.full_questions),
            ready_s=min(startup.ready_s, left_s),
            patience_s=left_s if first else self._journal.patience_s(self._measure_s, questions),
            ask_s=max(LEAST_REFERENCE_S, REFERENCE_SHARE * self._session.clock.budget_s) if first else None,
            home=self._home,
            asks=lambda found: (value := primary(found, metric)) is not None and loss_of(metric, value) <= worth,
        )

    def _reading(self, result: TrialResult, *, first: bool) -> Reading:
        """What a trial that was measured says; the first default's answers become the reference."""
        metric = self._session.scenario.metric
        timed = Reading(
            status=Status.INVALID, launch_s=result.launch_s, measure_s=result.measure_s, gate_s=result.gate_s
        )
        value = primary(result.measurement, metric)
        if not result.measurement.valid or not value:
            reason = "; ".join(result.measurement.invalid_reasons) or "nothing was measured"
            faults = [fault for profile in result.measurement.profiles for fault in client_faults(profile)]
            # Our own client's lateness says nothing about the settings.
            status = Status.INFRASTRUCTURE if faults else Status.INVALID
            return timed.model_copy(update={"status": status, "reason": reason})
        answers = {answer.question_id: answer.correct for answer in result.answers}
        if first:
            self._reference = answers
            write_json(self._reference_path, self._reference)
        return timed.model_copy(
            update={
                "status": Status.OK,
                "loss": loss_of(metric, value),
                "metrics": metrics_of(result.measurement, result.speculation),
                "gate": paired(answers, self._reference) if self._reference and self.full_questions else None,
            }
        )


def write_launcher(workspace: Path, text: str) -> None:
    """Put a launcher into the submission."""
    script = workspace / "submission" / "start_server.sh"
    write_atomic(script, text)
    script.chmod(0o755)


def loss_of(metric: Metric, value: float) -> float:
    """The metric as something to be made small."""
    return value if metric.lower_is_better else 1.0 / value


def metrics_of(measurement: Measurement, speculation: Speculation) -> dict[str, float]:
    """What limits and the Pareto front are about, and what speculation owes to the text."""
    named = {
        "ttft_s": measurement.ttft_s,
        "tpot_s": measurement.tpot_s,
        "requests_per_s": measurement.requests_per_s,
        "balanced_score": measurement.balanced_score,
        **speculation._asdict(),
    }
    return {name: value for name, value in named.items() if value is not None}
