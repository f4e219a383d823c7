"""A suite's scenario as a Harbor task directory: the instruction, the agent's image, and a verifier in an image of its
own.

The agent's container holds the task, the base model, the engines and practice tools; never the eval seed. Harbor
carries `/workspace/submission` into the verifier's container, where this package's own pipeline relaunches, measures,
gates and scores it (`container.verify`): there is no second path to a score.
"""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from inferencebench import __version__
from inferencebench.engines import registry as engines
from inferencebench.errors import UserError
from inferencebench.export import wheel
from inferencebench.files import write_atomic, write_json
from inferencebench.paths import MODEL, SUBMISSION, WORKSPACE
from inferencebench.prompts.render import MachineFacts, render
from inferencebench.run.spec import Condition, RunSpec
from inferencebench.suites.load import load
from inferencebench.suites.model import Scenario, SeedPair, Suite

TASK_DIRECTORY = "/opt/ib/task"
"""In both images: the wheel, the pins, `task.json` and a suite that is no built-in one."""
CPU_EXTRAS = frozenset({"torch", "llamacpp"})
CPU_ENGINES = ("pytorch", "llamacpp")
"""What these extras bring."""
CUDA_BASE = "nvidia/cuda:12.8.1-devel-ubuntu24.04"
CUDA_ENGINE = "vllm==0.32.0"
"""What a CUDA image installs beside the package; its own dependencies decide torch."""
VERIFIER_BUDGETS = 4
"""The verifier's time limit in session budgets: baseline launches, the submission, both gates."""
LEAST_VERIFIER_S = 3600.0
EVALUATE_QUICK_SHARE = 0.2


class Shipped(NamedTuple):
    """The suite as a container names it, and its file where it is no built-in one."""

    name: str
    file: Path | None


def write_task(out: Path, suite: str, scenario: Scenario, pair: SeedPair, condition: Condition) -> Path:
    """Write `OUT/<suite>-<scenario>-dev<seed>`; its path.

    Raises UserError when that directory is there, or for a suite file that stands on other files."""
    the_suite = load(suite)
    spec = RunSpec.create(
        the_suite, scenario=scenario.name, agent="", agent_sha256="", condition=condition, seed_pair=pair, sandbox=""
    )
    folder = out / f"{the_suite.name}-{scenario.name.value}-dev{pair.dev}"
    if folder.exists():
        raise UserError(f"{folder}: exists; remove it, or name another directory with -o")
    shipped = _shipped(suite, the_suite)
    facts = _facts(spec, shipped.name)
    for context, template in (("environment", "Dockerfile.agent.j2"), ("tests", "Dockerfile.verifier.j2")):
        built = wheel.build(folder / context)
        write_atomic(folder / context / "requirements.txt", _requirements(the_suite))
        if shipped.file is not None:
            shutil.copy(shipped.file, folder / context / "suite.toml")
        _write(folder / context / "Dockerfile", template, facts | {"wheel": built.name})
    write_json(folder / "environment" / "workspace" / "task.json", _task(spec))
    write_json(folder / "tests" / "task.json", {"suite": shipped.name, "scenario": scenario.name.value,
                                                 "seed_pair": [pair.dev, pair.eval]})  # fmt: skip
    for name in ("evaluate", "timer", "test_server"):
        _write(folder / "environment" / "workspace" / name, f"{name}.sh.j2", facts, executable=True)
    _write(folder / "tests" / "test.sh", "test.sh.j2", facts, executable=True)
    _write(folder / "solution" / "solve.sh", "solve.sh.j2", facts, executable=True)
    _write(folder / "task.toml", "task.toml.j2", facts)
    machine = MachineFacts(
        cpu=the_suite.hardware.name if the_suite.hardware.kind == "cpu" else "the container's CPU",
        server_cores=the_suite.hardware.server_cpus or 1,
        memory_gib=the_suite.hardware.memory_limit_gib or _memory_gib(the_suite),
        gpus=(the_suite.hardware.name,) * _gpus(the_suite),
    )
    write_atomic(folder / "instruction.md", render(spec, machine, template="harbor", engines=_engines(the_suite)))
    return folder


def _shipped(given: str, suite: Suite) -> Shipped:
    path = Path(given)
    if not path.is_file():
        return Shipped(suite.name, None)
    try:
        alone = load(str(path.absolute()))
    except UserError as error:
        raise UserError(f"{given}: a task ships one file, none that it extends ({error})") from None
    if alone != suite:
        raise UserError(f"{given}: reads differently from elsewhere; extend a built-in suite alone")
    return Shipped(f"{TASK_DIRECTORY}/suite.toml", path)


def _facts(spec: RunSpec, suite_name: str) -> dict[str, Any]:
    suite, scenario = spec.suite, spec.the_scenario
    hardware = suite.hardware
    requests = sum(profile.requests for profile in scenario.profiles)
    cores = (hardware.server_cpus or 8) + hardware.client_cpus
    return {
        "version": __version__,
        "suite": suite,
        "suite_name": suite_name,
        "scenario": scenario,
        "dev": spec.seed_pair.dev,
        "name": f"inferencebench/{suite.name}-{scenario.name.value}-dev{spec.seed_pair.dev}",
        "condition": spec.condition.name,
        "budget_s": spec.budget_s,
        "verifier_s": max(LEAST_VERIFIER_S, VERIFIER_BUDGETS * spec.budget_s),
        "quick_requests": max(1, round(EVALUATE_QUICK_SHARE * requests)),
        "cuda": hardware.kind == "cuda",
        "cores": cores,
        "gpus": _gpus(suite),
        "memory_mb": int(1024 * ((hardware.memory_limit_gib or _memory_gib(suite)) + 4)),
        "base": CUDA_BASE if hardware.kind == "cuda" else f"python:{wheel.python_version()}-slim-bookworm",
        "extras": "torch,nvidia" if hardware.kind == "cuda" else ",".join(sorted(CPU_EXTRAS)),
        "task_directory": TASK_DIRECTORY,
        "model_path": MODEL,
        "workspace": WORKSPACE,
        "submission": SUBMISSION,
        "start": spec.condition.start,
        "oracle": "vllm" if hardware.kind == "cuda" else "llamacpp",
    }


def _task(spec: RunSpec) -> dict[str, Any]:
    """What the agent may know as data: nothing of the eval side."""
    return {
        "suite": spec.suite.name,
        "scenario": spec.the_scenario.model_dump(mode="json"),
        "lower_is_better": spec.the_scenario.metric.lower_is_better,
        "model_id": spec.suite.model.id,
        "model_path": MODEL,
        "budget_s": spec.budget_s,
        "ready_limit_s": spec.suite.limits.ready_s,
        "submission_limit_gib": spec.suite.limits.submission_gib,
        "quality": {"tau": spec.suite.quality.tau, "questions": spec.suite.quality.questions},
    }


def _requirements(suite: Suite) -> str:
    return f"{CUDA_ENGINE}\n" if suite.hardware.kind == "cuda" else wheel.requirements(CPU_EXTRAS)


def _engines(suite: Suite) -> tuple[str, ...]:
    """What the agent's image has, with versions."""
    if suite.hardware.kind == "cuda":
        return (CUDA_ENGINE.replace("==", " "),)
    found = ((name, engines.get(name).availability()) for name in CPU_ENGINES)
    return tuple(f"{name} ({there.detail})" for name, there in found if there.ok)


def _gpus(suite: Suite) -> int:
    return suite.hardware.devices if suite.hardware.kind == "cuda" else 0


def _memory_gib(suite: Suite) -> float:
    """Host memory where the suite states none: the paper's 180 GB for a GPU machine."""
    return 180.0 if suite.hardware.kind == "cuda" else 12.0


def _write(path: Path, template: str, facts: dict[str, Any], *, executable: bool = False) -> None:
    write_atomic(path, _templates().get_template(template).render(facts))
    if executable:
        path.chmod(0o755)


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("inferencebench.export"),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # A JSON string is a TOML basic string, too.
    environment.filters["quoted"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment
