"""What is run: the spec of one run, its condition, and the directory that belongs to it."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field

from inferencebench import RECORD_VERSION
from inferencebench.files import sha256_bytes
from inferencebench.suites.model import Record, Scenario, ScenarioName, SeedPair, Suite

BASELINE_AGENT = "engine:pytorch"
"""The agent whose default is the baseline: speedup 1.0 by definition."""

PromptVariant = Literal["default", "structured", "ledger"]
Net = Literal["none", "mirror", "open"]
EMPTY_START = "empty"
ENGINE_NAME = "^[a-z0-9][a-z0-9_.-]*$"

READABLE_CHARACTERS = 48
"""Of a full name's end, in its directory's name."""


class Condition(Record):
    """The settings under which an agent works; an ablation changes one of them."""

    budget_s: Annotated[float, Field(gt=0)] | None = None
    """None: the suite's budget."""
    prompt: PromptVariant = "default"
    """Which wording of the task the agent gets; `ledger` adds the tool `./ledger`."""
    start: Annotated[str, Field(pattern=ENGINE_NAME)] = EMPTY_START
    """What lies in the submission at the start: nothing, or the default launcher of this engine."""
    engine_only: Annotated[str, Field(pattern=ENGINE_NAME)] | None = None
    """The only engine the submission may run; None: any, or none."""
    net: Net = "none"
    """What the agent reaches beside its model: nothing, package registries, or the public web by a logged proxy. The
    scored server never has a way out."""

    @property
    def name(self) -> str:
        """Sorted non-default settings (`budget_s=600`), or `default`."""
        changed = self.model_dump(exclude_defaults=True)
        return "+".join(f"{name}={value}" for name, value in sorted(changed.items())) or "default"


class RunSpec(Record):
    """Everything that determines a run; two runs with equal specs are repeats of each other."""

    schema_version: int = RECORD_VERSION
    suite: Suite
    suite_sha256: str
    scenario: ScenarioName
    agent: str
    """Full name, e.g. `engine:llamacpp`, `script:examples/pick_fastest`."""
    agent_sha256: str
    """Hash of what the agent brings along: a script's files, an engine's launcher."""
    condition: Condition
    seed_pair: SeedPair
    repeat: int = 0
    sandbox: str
    """Back end that is used, resolved: never `auto`."""
    share_device: bool = False
    """Whether other runs may use the machine at the same time; such a run's speed is not ranked."""

    @classmethod
    def create(cls, suite: Suite, **fields: object) -> Self:
        """A spec with the suite's hash filled in."""
        return cls.model_validate({"suite": suite, "suite_sha256": suite.sha256, **fields})

    @property
    def the_scenario(self) -> Scenario:
        """The scenario's definition."""
        return next(s for s in self.suite.scenarios if s.name == self.scenario)

    @property
    def budget_s(self) -> float:
        """Wall-clock budget of the solve phase, seconds."""
        return self.condition.budget_s or self.suite.limits.budget_s

    @property
    def is_baseline(self) -> bool:
        """Whether this run is a (repeat of a) PyTorch baseline."""
        return self.agent == BASELINE_AGENT and self.condition == Condition()

    @property
    def is_canonical_baseline(self) -> bool:
        """Whether this run is the baseline itself: the first of its repeats."""
        return self.is_baseline and self.repeat == 0

    def directory(self, out: Path) -> Path:
        """`OUT/<suite>/<scenario>/<agent>/<condition>/<dev>-<eval>[/rN]`."""
        agent, condition = slug(self.agent), slug(self.condition.name)
        base = out / self.suite.name / self.scenario / agent / condition / str(self.seed_pair)
        return base / f"r{self.repeat}" if self.repeat else base

    def differences(self, other: Self) -> list[str]:
        """Names of the fields in which two specs differ."""
        mine, theirs = self.model_dump(), other.model_dump()
        return [name for name in mine if mine[name] != theirs[name]]


def slug(name: str) -> str:
    """A file name for a full name: its readable end plus 8 hex digits of its hash (`default` stays as it is)."""
    if name == "default":
        return name
    readable = re.sub(r"[^a-z0-9_.=+]+", "-", name.lower()).strip("-.")[-READABLE_CHARACTERS:].lstrip("-.")
    return f"{readable}-{sha256_bytes(name.encode())[:8]}"
