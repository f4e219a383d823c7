"""`search:SAMPLER?engine=NAME[,NAME]`: engine settings found by search, as a submission like any other."""

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from inferencebench.agents.contract import Ended, SolveSession
from inferencebench.engines import registry as engines
from inferencebench.errors import BenchError, InfrastructureError, MissingError, UserError
from inferencebench.files import sha256_json, write_atomic, write_json
from inferencebench.load.model import Measurement
from inferencebench.run.evaluate import Cancelled, Evaluator
from inferencebench.run.score import primary
from inferencebench.run.trial import TrialPlan
from inferencebench.search import report, samplers, space
from inferencebench.search.gate import paired
from inferencebench.search.journal import Journal
from inferencebench.search.protocol import Policy, Search
from inferencebench.search.trials import Candidate, Reading, Status
from inferencebench.serve.server import ServerFailed
from inferencebench.suites.model import Metric

BLIND = "search-blind"
DEFAULT_ENGINE = "vllm"
MEASURE_S = 60.0
MEASURE_SHARE = 0.02
"""Of the budget: the time cap of a measurement, at most MEASURE_S and at least LEAST_MEASURE_S."""
LEAST_MEASURE_S = 8.0
VERSION = 1
"""Raised when the protocol changes: part of the agent's hash."""


@dataclass(frozen=True)
class Options:
    """What an agent's name says."""

    sampler: str
    engines: tuple[str, ...]
    seed: int
    presets: bool

    @classmethod
    def read(cls, rest: str, *, presets: bool = True) -> "Options":
        """Options from `tpe?engine=vllm,sglang&seed=3`. Raises UserError for what is unknown."""
        sampler, _, query = rest.partition("?")
        given = dict(parse_qsl(query, keep_blank_values=True))
        if strange := given.keys() - {"engine", "seed"}:
            raise UserError(f"search:{rest}: unknown option {sorted(strange)[0]!r}; there are engine and seed")
        names = tuple(dict.fromkeys(given.get("engine", DEFAULT_ENGINE).split(",")))
        if sampler not in samplers.SAMPLERS:
            raise UserError(f"search:{rest}: sampler {sampler!r}: expected one of {', '.join(samplers.SAMPLERS)}")
        if not given.get("seed", "0").isdigit():
            raise UserError(f"search:{rest}: seed {given['seed']!r}: expected a whole number")
        return cls(sampler, names, int(given.get("seed", "0")), presets)


class SearchAgent:
    """Runs the protocol of `inferencebench.search` on the session's evaluation service."""

    def __init__(self, rest: str, *, blind: bool = False) -> None:
        self._options = Options.read(rest, presets=not blind)
        self.name = f"{BLIND if blind else 'search'}:{rest}"
        self._engines = {name: engines.get(name) for name in self._options.engines}
        self._spaces = {name: space.find(name, engine.version()) for name, engine in self._engines.items()}

    @property
    def sha256(self) -> str:
        """Hash of the spaces, the options and the protocol's version."""
        spaces = [found.sha256 for found in self._spaces.values()]
        return sha256_json([VERSION, self._options.sampler, self._options.seed, self._options.presets, *spaces])

    def solve(self, session: SolveSession) -> Ended:
        """Search until the budget is used; leaves the launcher of what was confirmed, and a report.

        Raises MissingError when an engine is not installed."""
        for name, engine in self._engines.items():
            if not (found := engine.availability()).ok:
                raise MissingError(f"{self.name}: {name}: {found.detail}; {found.remedy}")
        if session.evaluator is None:
            raise InfrastructureError(f"{self.name}: this session has no evaluation service in process")
        bench = session.evaluator.bench
        head = sha256_json(
            [self.sha256, session.suite.sha256, session.scenario.name, bench.checkpoint.sha256, bench.hardware.sha256]
            + [engine.version() for engine in self._engines.values()]
        )
        # Beside the phase's folder, which is emptied when a killed run starts again.
        journal = Journal(session.log_dir.parent / "search-journal.jsonl", head)
        machine = SessionMachine(self, session, session.evaluator, journal.spent_s)
        policy = Policy(
            budget_s=session.clock.budget_s,
            tau=session.suite.quality.tau,
            mini_questions=min(100, session.evaluator.questions),
            presets=self._options.presets,
            seed=self._options.seed,
        )
        chosen = {name: samplers.make(self._options.sampler, s, self._options.seed) for name, s in self._spaces.items()}
        search = Search(self._spaces, chosen, session.scenario.name, machine, policy, journal, bench.reporter.note)
        try:
            outcome = search.run()
        except Cancelled:
            return Ended("failed", None)
        text = self.launcher(outcome.candidate)
        write_launcher(session.workspace, text)
        folder = session.log_dir / "search"
        write_json(folder / "outcome.json", outcome)
        write_atomic(folder / "start_server.sh", text)
        report.write(folder, self.name, outcome, journal.entries, text, session.scenario.metric)
        return Ended("finished", None)

    def launcher(self, candidate: Candidate) -> str:
        """The launcher of a candidate."""
        rendered = self._spaces[candidate.engine].render(candidate.configuration)
        return self._engines[candidate.engine].launcher(rendered.arguments, rendered.env)


class SessionMachine:
    """Runs a search's trials through a session's evaluator."""

    def __init__(self, agent: SearchAgent, session: SolveSession, evaluator: Evaluator, spent_s: float) -> None:
        self._agent, self._session, self._evaluator = agent, session, evaluator
        self._spent_s = spent_s
        self._number = 0
        self._reference_path = session.log_dir.parent / "search-reference.json"
        self._reference: dict[str, bool] = {}
        if spent_s and self._reference_path.exists():
            self._reference = json.loads(self._reference_path.read_bytes())
        self._home: Path | None = evaluator.bench.scratch(session.log_dir / "search-home")
        budget = session.clock.budget_s
        self._measure_s = max(LEAST_MEASURE_S, min(MEASURE_S, MEASURE_SHARE * budget))

    @property
    def full_questions(self) -> int:
        """All dev questions."""
        return self._evaluator.questions

    def elapsed_s(self) -> float:
        """This session's clock, and what sessions before a kill used."""
        return self._spent_s + self._session.clock.elapsed_s

    def run(self, candidate: Candidate, questions: int, deadline_s: float) -> Reading:
        """Write the launcher, and let the evaluator try it."""
        self._number += 1
        engine = engines.get(candidate.engine)
        write_launcher(self._session.workspace, self._agent.launcher(candidate))
        # The first default is the reference of every gate: it answers all questions.
        first = not self._reference and not candidate.configuration
        plan = TrialPlan(
            startup=engine.startup,
            measure_s=self._measure_s,
            questions=self.full_questions if first else questions,
            ready_s=min(engine.startup.ready_s, max(1.0, deadline_s - self.elapsed_s())),
            home=self._home,
        )
        began = self.elapsed_s()
        try:
            result = self._evaluator.trial(self._number, plan)
        except ServerFailed as error:
            return Reading(status=Status.CRASHED, reason=str(error), launch_s=self.elapsed_s() - began)
        except BenchError as error:
            return Reading(status=Status.INFRASTRUCTURE, reason=str(error), launch_s=self.elapsed_s() - began)
        timed = Reading(
            status=Status.INVALID, launch_s=result.launch_s, measure_s=result.measure_s, gate_s=result.gate_s
        )
        metric = self._session.scenario.metric
        value = primary(result.measurement, metric)
        if not result.measurement.valid or not value:
            reason = "; ".join(result.measurement.invalid_reasons) or "nothing was measured"
            return timed.model_copy(update={"reason": reason})
        if first:
            self._reference = {answer.question_id: answer.correct for answer in result.answers}
            write_json(self._reference_path, self._reference)
        return timed.model_copy(
            update={
                "status": Status.OK,
                "loss": loss_of(metric, value),
                "metrics": metrics_of(result.measurement),
                "gate": paired({a.question_id: a.correct for a in result.answers}, self._reference),
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


def metrics_of(measurement: Measurement) -> dict[str, float]:
    """What limits and the Pareto front are about."""
    named = {
        "ttft_s": measurement.ttft_s,
        "tpot_s": measurement.tpot_s,
        "requests_per_s": measurement.requests_per_s,
        "balanced_score": measurement.balanced_score,
    }
    return {name: value for name, value in named.items() if value is not None}
