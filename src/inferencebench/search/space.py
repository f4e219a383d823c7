"""Spaces: which settings of an engine are searched, which are known not to go together, and good first guesses."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Annotated, Literal, NamedTuple, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from inferencebench.errors import UserError
from inferencebench.files import sha256_json
from inferencebench.suites.model import Record, ScenarioName

Value = bool | int | float | str
Configuration = Mapping[str, Value]
"""Set parameters only: what is absent is unset, the engine's default."""

RENDERERS = {
    "vllm_ngram": lambda value: [
        "--speculative-config",
        f'{{"method": "ngram", "num_speculative_tokens": {value}, "prompt_lookup_max": 4}}',
    ],
}
"""Settings that are more than a flag and its value."""


class Parameter(Record):
    """One setting. Rendered by a flag, an environment variable, or a renderer."""

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]
    type: Literal["ordinal", "categorical", "bool"]
    values: tuple[Value, ...] = ()
    default: Value | None = None
    """What unset is understood to mean, where the engine says so: it places `unset` among the ordinal values."""
    flag: str | None = None
    negated: str | None = None
    """Of a bool: the flag that says false. Without it false renders as nothing."""
    env: str | None = None
    renderer: str | None = None
    nothing: tuple[Value, ...] = ()
    """Values that render as nothing: the published spaces' own words for off."""
    when: dict[str, tuple[Value, ...]] = Field(default_factory=dict)
    """Other parameters and the values with which this one has a meaning."""
    unset: bool = True
    """Whether the engine's default can be chosen; only published spaces pin it away."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if sum(way is not None for way in (self.flag, self.env, self.renderer)) != 1:
            raise ValueError(f"{self.name}: exactly one of flag, env and renderer")
        if self.renderer is not None and self.renderer not in RENDERERS:
            raise ValueError(f"{self.name}: renderer {self.renderer!r} is none of {', '.join(RENDERERS)}")
        if self.type == "bool":
            if self.values not in ((), (True, False), (True,), (False,)):
                raise ValueError(f"{self.name}: a bool has the values true and false")
        elif len(set(self.values)) != len(self.values) or not self.values:
            raise ValueError(f"{self.name}: values must be given, and distinct")
        if self.type == "ordinal" and not all(type(v) in (int, float) for v in self.values):
            raise ValueError(f"{self.name}: ordinal values are numbers")
        return self

    @property
    def choices(self) -> tuple[Value | None, ...]:
        """All choices in order; None is unset, beside the default of an ordinal parameter."""
        values = self.values or (True, False)
        if not self.unset:
            return values
        if self.type != "ordinal" or self.default is None:
            return (None, *values)
        ordered = sorted(values, key=float)
        at = sum(float(v) < float(self.default) for v in ordered)
        return (*ordered[:at], None, *ordered[at:])

    def arguments(self, value: Value) -> list[str]:
        """The command line's words for a value."""
        if value in self.nothing or self.env is not None:
            return []
        if self.renderer is not None:
            return RENDERERS[self.renderer](value)
        assert self.flag is not None
        if self.type == "bool":
            return [self.flag] if value is True else [self.negated] if self.negated else []
        return [self.flag, str(value)]


class Forbidden(Record):
    """Values that do not go together, and who says so."""

    all: Annotated[dict[str, tuple[Value | None, ...]], Field(min_length=1)]
    """Each named parameter has one of these values (null: unset)."""
    source: Annotated[str, Field(min_length=8)]

    def hits(self, configuration: Configuration) -> bool:
        """Whether the configuration is known not to work."""
        return all(configuration.get(name) in values for name, values in self.all.items())


class Versions(Record):
    """A range of versions: from `at_least` up to, not including, `below`."""

    at_least: str = "0"
    below: str = "9999"

    def hold(self, version: str) -> bool:
        """Whether a version is in the range."""
        return _numbers(self.at_least) <= _numbers(version) < _numbers(self.below)


class Rendered(NamedTuple):
    """What a configuration adds to a launcher."""

    arguments: list[str]
    env: dict[str, str]


class Space(Record):
    """All settings of one engine that are searched."""

    name: str
    engine: str
    versions: Versions = Versions()
    accelerators: tuple[Literal["cpu", "cuda"], ...] = ("cpu", "cuda")
    paper: bool = False
    """One of the published spaces, unchanged."""
    parameters: Annotated[tuple[Parameter, ...], Field(min_length=1)]
    forbid: tuple[Forbidden, ...] = ()
    presets: dict[ScenarioName, tuple[dict[str, Value], ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [p.name for p in self.parameters]
        if len(set(names)) != len(names):
            raise ValueError("parameters: names must be distinct")
        for number, rule in enumerate(self.forbid):
            self._known(f"forbid[{number}]", {k: tuple(x for x in v if x is not None) for k, v in rule.all.items()})
        for parameter in self.parameters:
            self._known(f"{parameter.name}.when", parameter.when)
        for scenario, presets in self.presets.items():
            for preset in presets:
                self._known(f"presets.{scenario}", {name: (value,) for name, value in preset.items()})
                if (broken := self.forbidden(preset)) is not None:
                    raise ValueError(f"presets.{scenario}: {preset} is forbidden ({broken.source})")
        return self

    def _known(self, where: str, values: Mapping[str, tuple[Value, ...]]) -> None:
        known = {p.name: p.choices for p in self.parameters}
        for name, wanted in values.items():
            if name not in known:
                raise ValueError(f"{where}: no parameter {name!r}")
            if strange := [v for v in wanted if v not in known[name]]:
                raise ValueError(f"{where}: {name} has no value {strange[0]!r}")

    def __iter__(self) -> Iterator[Parameter]:  # type: ignore[override]
        return iter(self.parameters)

    @property
    def sha256(self) -> str:
        """Hash of the space; part of a journal's head."""
        return sha256_json(self)

    @property
    def size(self) -> int:
        """Number of combinations, before conditions and rules."""
        total = 1
        for parameter in self.parameters:
            total *= len(parameter.choices)
        return total

    def tidy(self, configuration: Configuration) -> dict[str, Value]:
        """The configuration in the space's order, without settings whose condition does not hold."""
        kept = {p.name: configuration[p.name] for p in self.parameters if p.name in configuration}
        for parameter in self.parameters:
            if parameter.when and not all(kept.get(n) in v for n, v in parameter.when.items()):
                kept.pop(parameter.name, None)
        return kept

    def forbidden(self, configuration: Configuration) -> Forbidden | None:
        """The rule that a configuration breaks, or None."""
        return next((rule for rule in self.forbid if rule.hits(configuration)), None)

    def render(self, configuration: Configuration) -> Rendered:
        """Arguments and environment of a configuration."""
        arguments: list[str] = []
        env: dict[str, str] = {}
        for parameter in self.parameters:
            if (value := configuration.get(parameter.name)) is None:
                continue
            if parameter.env is not None and value not in parameter.nothing:
                env[parameter.env] = str(int(value)) if isinstance(value, bool) else str(value)
            arguments += parameter.arguments(value)
        return Rendered(arguments, env)


def parse(text: str, where: str) -> Space:
    """A space from YAML. Raises UserError that names the place."""
    try:
        return Space.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not YAML ({' '.join(str(error).split())})") from None
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise UserError(f"{where}: {place + ': ' if place else ''}{problem['msg']}") from None


@cache
def shipped() -> tuple[Space, ...]:
    """The spaces of this package."""
    folder = resources.files(__package__) / "spaces"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    return tuple(parse(file.read_text(), file.name) for file in files)


def find(engine: str, version: str | None = None, *, paper: bool = False, accelerator: str | None = None) -> Space:
    """The space of an engine, for a version where one is given (`0.26.0`); the newest range otherwise.

    Raises UserError when there is none."""
    mine = [s for s in shipped() if s.engine == engine and s.paper == paper]
    if not mine:
        known = ", ".join(sorted({s.engine for s in shipped() if s.paper == paper}))
        raise UserError(f"no {'published ' if paper else ''}space for engine {engine!r}; there are: {known}")
    mine = [s for s in mine if accelerator is None or accelerator in s.accelerators] or mine
    fitting = [s for s in mine if version is None or s.versions.hold(version)]
    if not fitting:
        ranges = ", ".join(f"{s.name}: {s.versions.at_least} to {s.versions.below}" for s in mine)
        raise UserError(f"no space for {engine} {version}; the ranges are {ranges}")
    return max(fitting, key=lambda s: _numbers(s.versions.at_least))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:4])
