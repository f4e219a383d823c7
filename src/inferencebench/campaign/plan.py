"""From a campaign to its tasks: one per run directory, baselines first. Pure: reads suites and nothing else."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from inferencebench.campaign.estimate import estimate
from inferencebench.campaign.model import Campaign, Exclude, cells
from inferencebench.errors import UserError
from inferencebench.files import sha256_bytes
from inferencebench.run.spec import BASELINE_AGENT, Condition, RunSpec
from inferencebench.suites import load as suites
from inferencebench.suites.model import Scenario, ScenarioName, SeedPair, Suite
from inferencebench.suites.scale import scaled

NAMING = "an experiment"
"""Stands for the hash of the agent's files, which does not enter the name of a run's directory."""


@dataclass(frozen=True)
class Task:
    """One run: its directory, what it waits for, and what it is expected to take."""

    id: str
    """12 hex digits of the directory's name; also the task's name at a scheduler."""
    directory: Path
    """Under the campaign directory."""
    suite: str
    """As in the campaign file: a name or a TOML file."""
    scenario: ScenarioName
    agent: str
    condition: Condition
    seed_pair: SeedPair
    repeat: int
    after: str | None
    """Id of the baseline it is scored over; None: it is a baseline."""
    devices: int
    """GPUs; 0: a CPU run, which needs the machine's cores for itself."""
    estimated_s: float
    longest_s: float
    """At the baseline's pace: what a time limit has to allow."""
    estimated_usd: float

    def argv(self, campaign: Campaign, out: Path) -> list[str]:
        """The arguments of `inferencebench` that take this run to its result, or continue it."""
        words = ["run", self.suite, self.scenario.value, self.agent, "--out", str(out)]
        words += ["--seed-pair", f"{self.seed_pair.dev},{self.seed_pair.eval}", "--repeat", str(self.repeat)]
        words += ["--sandbox", campaign.executor.sandbox]
        if campaign.scale != 1:
            words += ["--scale", f"{campaign.scale:g}"]
        for name, value in sorted(self.condition.model_dump(exclude_defaults=True).items()):
            option = "budget" if name == "budget_s" else name.replace("_", "-")
            words += [f"--{option}", str(value)]
        return words


@dataclass(frozen=True)
class Plan:
    """All tasks, baselines first, each once."""

    campaign: Campaign
    tasks: tuple[Task, ...]

    @property
    def device_hours(self) -> float:
        """Estimated hours of devices (of machines, for CPU runs)."""
        return sum(task.estimated_s * max(task.devices, 1) for task in self.tasks) / 3600

    @property
    def usd(self) -> float | None:
        """Estimated spend, US dollars; None without a price."""
        return sum(task.estimated_usd for task in self.tasks) if self.campaign.rates.given else None

    @property
    def disk_gib(self) -> float:
        """Estimated size of the run directories."""
        return len(self.tasks) * self.campaign.disk_gib_per_run


def plan(campaign: Campaign) -> Plan:
    """The tasks of a campaign. Raises UserError for unknown names, for an exclude that matches nothing, or when
    everything is excluded."""
    tasks: dict[str, Task] = {}
    used: set[Exclude] = set()
    for name, agent, condition, repeat in cells(campaign.matrix):
        suite = _suite(name, campaign.scale)
        for scenario in _scenarios(suite, campaign):
            if found := _excludes(campaign.exclude, _names(name, suite, agent, scenario, condition)):
                used.update(found)
                continue
            for pair in campaign.matrix.seed_pairs or suite.seed_pairs:
                base = _task(campaign, name, suite, scenario, BASELINE_AGENT, Condition(), pair, 0)
                task = _task(campaign, name, suite, scenario, agent, condition, pair, repeat)
                tasks.setdefault(base.id, base)
                tasks.setdefault(task.id, task)
    if idle := [exclude for exclude in campaign.exclude if exclude not in used]:
        raise UserError(f"campaign {campaign.name}: the exclude of {idle[0].shown} matches no run of the matrix")
    if not tasks:
        raise UserError(f"campaign {campaign.name}: the excludes leave nothing to run")
    return Plan(campaign, tuple(sorted(tasks.values(), key=lambda task: task.after is not None)))


@cache
def _suite(name: str, scale: float) -> Suite:
    return scaled(_full(name), scale)


@cache
def _full(name: str) -> Suite:
    try:
        return suites.load(name)
    except RuntimeError as error:  # a home directory that nobody has
        raise UserError(f"{name}: no such file: {error}") from None


def _scenarios(suite: Suite, campaign: Campaign) -> list[Scenario]:
    """Those of a suite that the matrix names. Raises UserError for a name that none of its suites has."""
    wanted = {name.strip().lower(): name for name in campaign.matrix.scenarios}
    everywhere = [s for name in campaign.matrix.suites for s in _suite(name, campaign.scale).scenarios]
    for name in sorted(wanted.keys() - set().union(*map(_called, everywhere))):
        suites.scenario(suite, wanted[name])
    return [s for s in suite.scenarios if not wanted.keys().isdisjoint(_called(s))] if wanted else list(suite.scenarios)


def _called(scenario: Scenario) -> set[str]:
    """Its name and its letter, as `run` takes them."""
    return {scenario.name.value, scenario.id.lower()}


def _names(
    suite_name: str, suite: Suite, agent: str, scenario: Scenario, condition: Condition
) -> tuple[set[str], set[str], set[str], set[str]]:
    """What the fields of an exclude may say of a cell."""
    suites_ = {suite_name, suite.name, _full(suite_name).name}
    return suites_, {agent}, _called(scenario) | {scenario.id}, {condition.name}


def _excludes(excludes: tuple[Exclude, ...], names: tuple[set[str], ...]) -> list[Exclude]:
    """The excludes that match a cell of these names."""
    return [
        exclude
        for exclude in excludes
        for patterns in [(exclude.suite, exclude.agent, exclude.scenario, _by_value(exclude.condition))]
        if all(any(fnmatchcase(n, pattern) for n in given) for given, pattern in zip(names, patterns, strict=True))
    ]


def _by_value(condition: str) -> str:
    """A condition's name with its budget as a condition writes it."""
    budget = re.search(r"(?<=budget_s=)[0-9.]+(?=[+]|$)", condition)
    try:
        return condition.replace(budget[0], str(float(budget[0]))) if budget else condition
    except ValueError:
        return condition


def _task(
    campaign: Campaign,
    suite_name: str,
    suite: Suite,
    scenario: Scenario,
    agent: str,
    condition: Condition,
    pair: SeedPair,
    repeat: int,
) -> Task:
    spec = RunSpec.model_construct(
        suite=suite, scenario=scenario.name, agent=agent, agent_sha256=NAMING, condition=condition,
        seed_pair=pair, repeat=repeat,
    )  # fmt: skip
    directory = spec.directory(Path())
    base = spec.model_copy(update={"agent": BASELINE_AGENT, "condition": Condition(), "repeat": 0}).directory(Path())
    seconds = estimate(spec)
    hours = seconds.expected_s / 3600
    devices = suite.hardware.devices if suite.hardware.kind == "cuda" else 0
    usd = hours * max(devices, 1) * campaign.rates.device_usd_per_hour
    usd += spec.budget_s / 3600 * _agent_rate(campaign, agent)
    return Task(
        id=task_id(directory),
        directory=directory,
        suite=suite_name,
        scenario=scenario.name,
        agent=agent,
        condition=condition,
        seed_pair=pair,
        repeat=repeat,
        after=None if base == directory else task_id(base),
        devices=devices,
        estimated_s=seconds.expected_s,
        longest_s=seconds.longest_s,
        estimated_usd=usd,
    )


def task_id(directory: Path) -> str:
    """Names a run at schedulers and in logs."""
    return sha256_bytes(str(directory).encode())[:12]


def _agent_rate(campaign: Campaign, agent: str) -> float:
    if agent.startswith(("engine:", "script:", "search:")):
        return 0.0
    rates = campaign.rates.agent_usd_per_hour
    return next((rate for pattern, rate in rates.items() if fnmatchcase(agent, pattern)), 0.0)
