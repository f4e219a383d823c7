"""`search:SAMPLER?engine=NAME[,NAME]`: engine settings found by search, as a submission like any other."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from inferencebench.agents.contract import Ended, SolveSession
from inferencebench.engines import registry as engines
from inferencebench.errors import InfrastructureError, MissingError, UserError
from inferencebench.files import sha256_json, write_atomic, write_json
from inferencebench.run.evaluate import Cancelled, Evaluator
from inferencebench.search import journal, paper, report, samplers, space
from inferencebench.search.outcome import Outcome
from inferencebench.search.policy import Policy
from inferencebench.search.protocol import Search
from inferencebench.search.session import SessionMachine, write_launcher
from inferencebench.search.trials import Candidate

BLIND = "search-blind"
DEFAULT_ENGINE = "vllm"
JOURNAL = "search-journal.jsonl"
"""In the run directory, beside the phases' folders."""
MODES = ("ours", "paper")
VERSION = 4
"""Raised when the protocol changes: part of the agent's hash."""


@dataclass(frozen=True)
class Options:
    """What an agent's name says."""

    sampler: str
    engines: tuple[str, ...]
    seed: int
    presets: bool
    paper: bool
    """The published protocol on the published space."""

    @classmethod
    def read(cls, rest: str, *, presets: bool = True) -> "Options":
        """Options from `tpe?engine=vllm,sglang&seed=3`. Raises UserError for what is unknown."""
        sampler, _, query = rest.partition("?")
        given = dict(parse_qsl(query, keep_blank_values=True))
        if strange := given.keys() - {"engine", "seed", "mode"}:
            raise UserError(f"search:{rest}: unknown option {sorted(strange)[0]!r}; there are engine, seed and mode")
        names = tuple(dict.fromkeys(given.get("engine", DEFAULT_ENGINE).split(",")))
        mode = given.get("mode", MODES[0])
        if mode not in MODES:
            raise UserError(f"search:{rest}: mode {mode!r}: expected one of {', '.join(MODES)}")
        known = tuple(paper.SAMPLERS if mode == "paper" else samplers.SAMPLERS)
        if sampler not in known:
            raise UserError(f"search:{rest}: sampler {sampler!r}: expected one of {', '.join(known)}")
        if mode == "paper" and (len(names) > 1 or not presets):
            raise UserError(f"search:{rest}: mode=paper searches one engine, and has no first guesses to leave out")
        seed = given.get("seed", "0")
        if not seed.isdecimal() or len(seed) > 10 or int(seed) > samplers.MOST_SEED:
            raise UserError(f"search:{rest}: seed {seed!r}: expected a whole number from 0 to {samplers.MOST_SEED}")
        return cls(sampler, names, int(seed), presets, mode == "paper")


class SearchAgent:
    """Runs the protocol of `inferencebench.search` on the session's evaluation service."""

    launchers_are_ours = True

    def __init__(self, rest: str, *, blind: bool = False) -> None:
        self._options = Options.read(rest, presets=not blind)
        self.name = f"{BLIND if blind else 'search'}:{rest}"
        self._engines = {name: engines.get(name) for name in self._options.engines}
        self._spaces = {
            name: space.find(name, None if self._options.paper else engine.version(), paper=self._options.paper)
            for name, engine in self._engines.items()
        }

    @property
    def sha256(self) -> str:
        """Hash of the spaces, the options and the protocol's version."""
        spaces = [found.sha256 for found in self._spaces.values()]
        chosen = self._options
        return sha256_json([VERSION, chosen.sampler, chosen.seed, chosen.presets, chosen.paper, *spaces])

    def spent_s(self, folder: Path) -> float:
        """Budget that a killed session used; `folder` is the solve phase's."""
        return journal.spent_s(folder.parent / JOURNAL)

    def ready(self) -> None:
        """Raises MissingError when an engine is not installed."""
        for name, engine in self._engines.items():
            if not (found := engine.availability()).ok:
                raise MissingError(f"{self.name}: {name}: {found.detail}; {found.remedy}")

    def solve(self, session: SolveSession) -> Ended:
        """Search until the budget is used; leaves the launcher of what was confirmed, and a report.

        Raises MissingError when an engine is not installed."""
        self.ready()
        if session.evaluator is None:
            raise InfrastructureError(f"{self.name}: this session has no evaluation service in process")
        beside = session.log_dir.parent
        kept = journal.Journal(beside / JOURNAL, self._head(session, session.evaluator))
        machine = SessionMachine(self.launcher, session, session.evaluator, kept, beside)
        try:
            outcome = self._search(session, session.evaluator, machine, kept)
        except Cancelled:
            return Ended("failed", None)
        text = self.launcher(outcome.candidate)
        write_launcher(session.workspace, text)
        folder = session.log_dir / "search"
        write_json(folder / "outcome.json", outcome)
        write_atomic(folder / "start_server.sh", text)
        report.write(folder, self.name, outcome, kept.entries, text, session.scenario.metric, session.suite.quality.tau)
        return Ended("finished", None)

    def _search(
        self, session: SolveSession, evaluator: Evaluator, machine: SessionMachine, kept: journal.Journal
    ) -> Outcome:
        chosen, budget_s, say = self._options, session.clock.budget_s, evaluator.bench.reporter.note
        if chosen.paper:
            (engine, found), *_ = self._spaces.items()
            sampler = samplers.make(paper.SAMPLERS[chosen.sampler], found, chosen.seed)
            return paper.PaperSearch(engine, sampler, machine, budget_s, kept, say).run()
        policy = Policy(
            budget_s=budget_s,
            tau=session.suite.quality.tau,
            presets=chosen.presets,
            seed=chosen.seed,
        )
        made = {name: samplers.make(chosen.sampler, s, chosen.seed) for name, s in self._spaces.items()}
        return Search(self._spaces, made, session.scenario.name, machine, policy, kept, say).run()

    def _head(self, session: SolveSession, evaluator: Evaluator) -> str:
        """What must be equal for readings to be comparable."""
        bench = evaluator.bench
        return sha256_json(
            [self.sha256, session.suite.sha256, session.scenario.name, bench.checkpoint.sha256, bench.hardware.sha256]
            + [engine.version() for engine in self._engines.values()]
        )

    def launcher(self, candidate: Candidate) -> str:
        """The launcher of a candidate."""
        rendered = self._spaces[candidate.engine].render(candidate.configuration)
        return self._engines[candidate.engine].launcher(rendered.arguments, rendered.env)
