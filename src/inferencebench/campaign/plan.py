"""From a campaign to its tasks: one per run directory, baselines first. Pure: reads suites and nothing else."""

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
    """The tasks of a campaign. Raises UserError for unknown names, or when everything is excluded."""
    tasks: dict[str, Task] = {}
    for name, agent, condition, repeat in cells(campaign.matrix):
        suite = _suite(name, campaign.scale)
        for scenario in _scenarios(suite, campaign):
            for pair in campaign.matrix.seed_pairs or suite.seed_pairs:
                if _excluded(campaign.exclude, suite.name, agent, scenario.name, condition):
                    continue
                base = _task(campaign, name, suite, scenario, BASELINE_AGENT, Condition(), pair, 0)
                task = _task(campaign, name, suite, scenario, agent, condition, pair, repeat)
                tasks.setdefault(base.id, base)
                tasks.setdefault(task.id, task)
    if not tasks:
        raise UserError(f"campaign {campaign.name}: the excludes leave nothing to run")
    return Plan(campaign, tuple(sorted(tasks.values(), key=lambda task: task.after is not None)))


@cache
def _suite(name: str, scale: float) -> Suite:
    try:
        return scaled(suites.load(name), scale)
    except RuntimeError as error:  # a home directory that nobody has
        raise UserError(f"{name}: no such file: {error}") from None


def _scenarios(suite: Suite, campaign: Campaign) -> list[Scenario]:
    wanted = campaign.matrix.scenarios
    return [s for s in suite.scenarios if s.name in wanted] if wanted else list(suite.scenarios)


def _excluded(excludes: tuple[Exclude, ...], suite: str, agent: str, scenario: str, condition: Condition) -> bool:
    values = (suite, agent, scenario, condition.name)
    return any(
        all(fnmatchcase(value, pattern) for value, pattern in zip(values, e.model_dump().values(), strict=True))
        for e in excludes
    )


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
