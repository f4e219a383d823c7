"""The campaign file: what is run, where, and within which limits."""

import json
import math
import tomllib
from itertools import product
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from inferencebench.errors import UserError
from inferencebench.run.spec import Condition
from inferencebench.suites.explain import explain
from inferencebench.suites.model import Record, SeedPair

TOO_DEEP = "tables or arrays are nested too deeply; a campaign needs three levels"

Names = Annotated[tuple[str, ...], Field(min_length=1)]


class Finite(Record):
    """A part of a campaign file, in which a number is never endless."""

    model_config = ConfigDict(allow_inf_nan=False)


class Matrix(Record):
    """The product of these is run, less the excludes."""

    suites: Names
    """Names of built-in suites or TOML files."""
    agents: Names
    scenarios: tuple[str, ...] = ()
    """Names or letters; none given: all of the suite."""
    seed_pairs: tuple[SeedPair, ...] = ()
    """None given: all of the suite."""
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)] = (Condition(),)
    repeats: Annotated[int, Field(gt=0)] = 1
    """Runs per cell and seed pair, numbered from 0."""

    @field_validator("seed_pairs")
    @classmethod
    def _seeds_differ(cls, pairs: tuple[SeedPair, ...]) -> tuple[SeedPair, ...]:
        if same := [pair for pair in pairs if pair.dev == pair.eval]:
            raise ValueError(f"the dev and the eval seed must differ, and both are {same[0].dev}")
        return pairs

    @field_validator("conditions")
    @classmethod
    def _budgets_end(cls, conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
        if any(math.isinf(condition.budget_s or 0.0) for condition in conditions):
            raise ValueError("budget_s: inf is wrong; give seconds")
        return conditions


class Exclude(Record):
    """Runs left out: those that match all fields given. Names may hold `*`."""

    suite: str = "*"
    """As in the matrix, or the suite's own name, scaled or not."""
    agent: str = "*"
    scenario: str = "*"
    """A name or a letter."""
    condition: str = "*"
    """As `plan` shows it; a budget by its value: `budget_s=600` is `budget_s=600.0`."""

    @model_validator(mode="after")
    def _excludes_something_less_than_all(self) -> Self:
        if self == Exclude.model_construct():
            raise ValueError("an exclude needs at least one of suite, agent, scenario, condition")
        return self

    @property
    def shown(self) -> str:
        """The fields given."""
        return ", ".join(f"{name} = {value!r}" for name, value in self.model_dump(exclude_defaults=True).items())


class Bounds(Finite):
    """Where a campaign stops placing runs; what runs then is finished."""

    max_usd: Annotated[float, Field(gt=0)] | None = None
    """Spend on API calls and machines together."""
    max_device_hours: Annotated[float, Field(gt=0)] | None = None


class Rates(Finite):
    """Prices for estimates and spend."""

    device_usd_per_hour: Annotated[float, Field(ge=0)] = 0.0
    agent_usd_per_hour: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Expected API spend of an agent (its full name, may hold `*`), in US dollars per hour of budget."""

    @property
    def given(self) -> bool:
        """Whether there is any price; without one what is spent is not known, rather than nothing."""
        return bool(self.device_usd_per_hour or any(self.agent_usd_per_hour.values()))


class Retry(Finite):
    """What happens after an infrastructure failure; runs that were scored are never repeated."""

    attempts: Annotated[int, Field(gt=0)] = 3
    backoff_s: Annotated[float, Field(ge=0)] = 30.0
    """Before the second attempt; doubles with each."""


class Placement(Finite):
    """Where runs go."""

    kind: str = "local"
    """Name of an executor: local, slurm, ray, htcondor, or one of an entry point."""
    slots: Annotated[int, Field(gt=0)] | None = None
    """Runs at a time, at most; None: one per free device (one CPU run) here, or as many as the scheduler takes."""
    sandbox: str = "auto"
    time_margin: Annotated[float, Field(ge=1)] = 1.2
    """A scheduler's time limit over what a run takes at the baseline's pace."""
    options: dict[str, str | int | float | bool | list[str]] = Field(default_factory=dict)
    """Options of the executor, by the names in its documentation (`partition`, `gres`, `address`, …)."""


class Campaign(Finite):
    """A campaign file, read and checked."""

    name: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_.-]*$")]
    matrix: Matrix
    scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor of a shortened suite; its records never mix with full ones."""
    exclude: tuple[Exclude, ...] = ()
    bounds: Bounds = Bounds()
    rates: Rates = Rates()
    retry: Retry = Retry()
    executor: Placement = Placement()
    disk_gib_per_run: Annotated[float, Field(gt=0)] = 0.5
    """For the plan's estimate."""
    keep: Literal["all", "records"] = "all"
    """`records`: workspaces and server logs of finished runs are not synchronized elsewhere."""


def load(path: Path) -> Campaign:
    """The campaign in this TOML file.

    Raises UserError with file, key and what would be right."""
    try:
        # Strict, and by way of JSON: true is no number, but an array is a tuple and a name an enum.
        return Campaign.model_validate_json(_json(path), strict=True)
    except ValidationError as error:
        deep = error.errors()[0]["type"] == "json_invalid"
        raise UserError(f"{path}: {TOO_DEEP if deep else explain(error, Campaign)}") from None


def _json(path: Path) -> str:
    """The TOML file as JSON."""
    try:
        return json.dumps(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; name a campaign file (TOML)") from None
    except RecursionError:
        raise UserError(f"{path}: {TOO_DEEP}") from None
    except TypeError:
        raise UserError(f"{path}: holds a date or a time, which no key of a campaign takes; use quotes") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from None


def cells(matrix: Matrix) -> list[tuple[str, str, Condition, int]]:
    """Suite, agent, condition and repeat of every combination; scenarios and seeds depend on the suite."""
    return list(product(matrix.suites, matrix.agents, matrix.conditions, range(matrix.repeats)))
