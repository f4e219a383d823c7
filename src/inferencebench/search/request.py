"""What the user asks of a search for one's own server, and what that means on this machine."""

from dataclasses import dataclass
from pathlib import Path

from inferencebench.errors import MissingError, UserError
from inferencebench.load.dataset import OPEN, Load, read_rows
from inferencebench.load.sources import from_file
from inferencebench.search import samplers, space
from inferencebench.search.agreement import checks
from inferencebench.search.live import Subject
from inferencebench.search.policy import measure_cap_s
from inferencebench.search.slo import Slo
from inferencebench.suites.model import Metric, ScenarioName

OBJECTIVES = {
    "ttft": (Metric.TTFT, ScenarioName.PREFILL),
    "tpot": (Metric.TPOT, ScenarioName.DECODE),
    "throughput": (Metric.REQUESTS_PER_S, ScenarioName.THROUGHPUT),
    "balanced": (Metric.BALANCED, ScenarioName.BALANCED),
}
"""Objective → what is measured, and the scenario whose first guesses are tried."""
SEARCH_SHARE = 0.85
"""Of the budget; the rest verifies the winner and the default on launches that the choice did not see."""


@dataclass(frozen=True)
class Request:
    """What the user asks for."""

    engines: tuple[str, ...]
    model: Path
    requests: Path
    objective: str
    slos: tuple[Slo, ...]
    budget_s: float
    load: Load
    sampler: str = "tpe"
    seed: int = 0
    agreement: float = 0.9
    """Least share of greedy replies equal to the default's, relative to the default's own repeatability."""
    tokenizer: Path | None = None
    served_name: str | None = None
    sandbox: str = "process"
    out: Path = Path("tuned")


def _check(request: Request) -> None:
    """Raise UserError for what does not go together."""
    if not 0 <= request.seed <= samplers.MOST_SEED:
        raise UserError(f"--seed {request.seed}: expected a whole number from 0 to {samplers.MOST_SEED}")
    if request.objective not in OBJECTIVES:
        raise UserError(f"--objective {request.objective!r}: expected one of {', '.join(OBJECTIVES)}")
    if request.objective == "throughput" and request.load.arrival in (*OPEN, "trace"):
        raise UserError(
            f"--objective throughput: --arrival {request.load.arrival} sets the rate itself; use burst or closed"
        )
    if SEARCH_SHARE * request.budget_s < (load_s := measure_cap_s(request.budget_s)):
        raise UserError(
            f"--budget {request.budget_s:g}s: no launch and its load of up to {load_s:g} s fit in; give 10m or more"
        )
    if not (request.model / "config.json").is_file():
        raise UserError(f"{request.model}: no config.json; --model takes a checkpoint's directory")


def subject_of(request: Request) -> Subject:
    """What is tuned on this machine.

    Raises UserError for what does not go together, MissingError for an engine that is not installed."""
    from inferencebench.doctor.hardware import fingerprint
    from inferencebench.engines import registry as engines
    from inferencebench.run.machine import visible_devices
    from inferencebench.sandbox import registry as sandboxes

    _check(request)
    found = {name: engines.get(name) for name in request.engines}
    for name, engine in found.items():
        if not (available := engine.availability()).ok:
            raise MissingError(f"{name}: {available.detail}; {available.remedy}")
    gpus = fingerprint().gpus
    visible = visible_devices()
    numbers = tuple(range(len(gpus))) if visible is None else visible
    accelerator = "cuda" if gpus else "cpu"
    model = request.served_name or request.model.resolve().name
    tokenizer = request.tokenizer or request.model
    work = from_file(
        request.requests, model, request.load,
        tokenizer=tokenizer if tokenizer.is_file() or (tokenizer / "tokenizer.json").is_file() else None,
    )  # fmt: skip
    return Subject(
        engines=found,
        spaces={name: space.find(name, e.version(), accelerator=accelerator) for name, e in found.items()},
        checkpoint=request.model.resolve(),
        work=work,
        checks=checks(read_rows(request.requests, model)),
        metric=OBJECTIVES[request.objective][0],
        sandbox=sandboxes.get(request.sandbox),
        gpus=numbers,
    )
