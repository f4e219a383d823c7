"""Runs as the analyses see them: a result, the directory behind it, and what is read from there only when asked for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from inferencebench.analysis.behaviour.conduct import Conduct, conduct
from inferencebench.analysis.collect import collect
from inferencebench.analysis.comparable import comparable
from inferencebench.run.record import Evaluation, Result, Session
from inferencebench.run.spec import BASELINE_AGENT, RunSpec, slug
from inferencebench.suites.model import ScenarioName

SETTING = re.compile(r"\+(?=[a-z_]+=)")
"""Between the settings of a condition's name."""


class Kind(StrEnum):
    """What a row of a board is."""

    AGENT = "agent"
    SEARCH = "search"
    ENGINE = "engine default"
    BASELINE = "baseline"


PREFIXES = (
    ("engine:", Kind.ENGINE),
    ("search:", Kind.SEARCH),
    ("search-blind:", Kind.SEARCH),
)
"""Start of an agent's name → what it is; everything else is an agent."""


def kind_of(agent: str) -> Kind:
    """What an agent of this full name is."""
    if agent == BASELINE_AGENT:
        return Kind.BASELINE
    return next((kind for prefix, kind in PREFIXES if agent.startswith(prefix)), Kind.AGENT)


def settings_of(condition: str) -> dict[str, str]:
    """The settings in a condition's name (`budget_s=600.0+prompt=structured`); none in `default`."""
    parts = [] if condition == "default" else SETTING.split(condition)
    return {name: value for name, _, value in (part.partition("=") for part in parts)}


def run_id(result: Result) -> str:
    """The run directory's path under its campaign, whatever the campaign's own place."""
    parts = [result.suite, result.scenario, slug(result.agent), slug(result.condition), str(result.seed_pair)]
    return "/".join([*parts, f"r{result.repeat}"] if result.repeat else parts)


@dataclass(frozen=True, eq=False)
class Run:
    """One finished run. Only the result is in memory; everything else is read on first use and None where
    unreadable."""

    directory: Path
    result: Result

    @cached_property
    def id(self) -> str:
        """See `run_id`."""
        return run_id(self.result)

    @property
    def kind(self) -> Kind:
        """Agent, search, engine default or baseline."""
        return kind_of(self.result.agent)

    @property
    def scenario(self) -> ScenarioName:
        """The scenario."""
        return ScenarioName(self.result.scenario)

    @property
    def pair(self) -> str:
        """The seed pair, `dev-eval`."""
        return str(self.result.seed_pair)

    @cached_property
    def settings(self) -> dict[str, str]:
        """The non-default settings of its condition."""
        return settings_of(self.result.condition)

    @cached_property
    def spec(self) -> RunSpec | None:
        """What was to be run."""
        try:
            return RunSpec.model_validate_json((self.directory / "spec.json").read_bytes())
        except (OSError, ValidationError, ValueError):
            return None

    @property
    def budget_s(self) -> float | None:
        """Wall-clock budget of the session, seconds."""
        try:
            return float(self.settings["budget_s"])
        except (KeyError, ValueError):
            return self.spec.budget_s if self.spec else None

    @cached_property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """What the harness measured during the session, oldest first."""
        try:
            return Session.model_validate_json((self.directory / "solve" / "session.json").read_bytes()).evaluations
        except (OSError, ValidationError, ValueError):
            return ()

    @cached_property
    def conduct(self) -> Conduct:
        """What the agent did; reads the trajectory once."""
        return conduct(self.directory, self.result, self.evaluations, self.budget_s)


class Runs(NamedTuple):
    """Runs that may stand on one board, their repeats, and a line for each record that was skipped."""

    runs: list[Run]
    repeats: list[Run]
    """Repeats 1, 2, ...: they never enter a mean; they tell the noise."""
    skipped: list[str]


def load(directories: Iterable[Path]) -> Runs:
    """All runs under the directories, each once.

    Raises UserError for a directory that does not exist, and for runs that do not compare (see `comparable`)."""
    found = collect(directories)
    comparable(found.results)
    runs: dict[str, Run] = {}
    for directory, result in found.results:
        run = Run(directory, result)
        runs.setdefault(run.id, run)
    ordered = list(runs.values())
    return Runs(
        [run for run in ordered if run.result.repeat == 0],
        [run for run in ordered if run.result.repeat],
        found.skipped,
    )
