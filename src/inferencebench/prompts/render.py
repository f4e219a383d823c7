"""From a spec and a machine to the text that an agent reads. What differs between runs is a fact."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from inferencebench.doctor.hardware import HardwareFingerprint
from inferencebench.engines import registry as engines
from inferencebench.paths import MODEL, SUBMISSION, WORKSPACE
from inferencebench.run.spec import EMPTY_START, RunSpec
from inferencebench.suites.model import Metric, Record, Scenario, Suite

METRICS = {
    Metric.TTFT: "mean time to the first token, in seconds, from sending a request to its first generated token",
    Metric.TPOT: "mean time per output token after the first, in seconds",
    Metric.REQUESTS_PER_S: "completed requests per second (the geometric mean over the load profiles)",
    Metric.BALANCED: "the balanced score, (1/TTFT * 1/TPOT * requests per second)^(1/3), of means in seconds",
}
VALIDATION_MINUTES = 15
VALIDATION_SHARE = 0.125
"""Of the budget: the structured variant keeps 15 minutes of two hours, and the same share of less."""


class MachineFacts(Record):
    """The machine as the agent will find it."""

    cpu: str
    server_cores: int
    memory_gib: float
    gpus: tuple[str, ...]
    """What the server may use, one name each."""


def machine_facts(suite: Suite, hardware: HardwareFingerprint, server_cores: int, gpus: int) -> MachineFacts:
    """The part of this machine that the sandbox gives to the server."""
    found = tuple(f"{gpu.name}" for gpu in hardware.gpus[:gpus])
    return MachineFacts(
        cpu=hardware.cpu_model,
        server_cores=server_cores,
        memory_gib=suite.hardware.memory_limit_gib or hardware.memory_gib,
        gpus=found or (suite.hardware.name,) * gpus,
    )


def render(
    spec: RunSpec, machine: MachineFacts, *, template: str | None = None, engines: tuple[str, ...] | None = None
) -> str:
    """The task's text for this spec: the same bytes for equal inputs and installed engines.

    `template` is another wording than that of the condition; `engines` are those of a machine other than this one."""
    suite, scenario, condition = spec.suite, spec.the_scenario, spec.condition
    minutes = spec.budget_s / 60
    facts: dict[str, Any] = {
        "suite": suite,
        "scenario": scenario,
        "machine": machine,
        "metric": METRICS[scenario.metric],
        "lower": scenario.metric.lower_is_better,
        "loads": [_load(scenario, number) for number in range(len(scenario.profiles))],
        "budget": duration(spec.budget_s),
        "validation": duration(60 * min(VALIDATION_MINUTES, VALIDATION_SHARE * minutes)),
        "least_input": -(-int(suite.range_ratio * scenario.input_tokens * 1000) // 1000),
        "least_output": -(-int(suite.range_ratio * scenario.output_tokens * 1000) // 1000),
        "ready": duration(suite.limits.ready_s),
        "start": None if condition.start == EMPTY_START else condition.start,
        "engine_only": condition.engine_only,
        "net": condition.net,
        "engines": installed() if engines is None else engines,
        "workspace": WORKSPACE,
        "submission": SUBMISSION,
        "model_path": MODEL,
    }
    return _templates().get_template(f"{template or condition.prompt}.md.j2").render(facts)


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("inferencebench.prompts"),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@cache
def installed() -> tuple[str, ...]:
    """The engines that can be started from the sandbox, with versions."""
    found = []
    for name in engines.names():
        engine = engines.get(name)
        if (availability := engine.availability()).ok:
            found.append(f"{name} ({availability.detail})")
    return tuple(found)


def duration(seconds: float) -> str:
    """`2 h`, `90 min` or `45 s`."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds / 60:.1f} min" if seconds >= 120 else f"{seconds:g} s"


def _load(scenario: Scenario, number: int) -> str:
    """One load profile in words."""
    profile = scenario.profiles[number]
    how = {
        "burst": "sent as fast as they are answered",
        "poisson": f"arriving at random, {profile.rate_per_s or 0:g} per second on average",
        "constant": f"arriving evenly, {profile.rate_per_s or 0:g} per second",
    }[profile.arrival]
    flight = "one at a time" if profile.concurrency == 1 else f"at most {profile.concurrency} in flight"
    return f"{profile.name}: {profile.requests} requests, {how}, {flight}"
