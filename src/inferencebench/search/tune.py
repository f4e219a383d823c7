"""A search for one's own server: engine, model, traffic and bounds in; a verified configuration and launcher out."""

import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inferencebench.errors import InfrastructureError, MissingError, UserError
from inferencebench.files import sha256_json, write_atomic, write_json
from inferencebench.load.dataset import OPEN, Load, read_rows
from inferencebench.load.model import Progress
from inferencebench.load.session import MeasureRecord
from inferencebench.load.sources import from_file
from inferencebench.run.machine import lease
from inferencebench.sandbox.removal import remove_tree
from inferencebench.search import report, samplers, space
from inferencebench.search.agreement import MINI_CHECKS, checks
from inferencebench.search.journal import Journal
from inferencebench.search.live import LiveMachine, Subject, figures
from inferencebench.search.outcome import Outcome
from inferencebench.search.policy import Policy, measure_cap_s
from inferencebench.search.protocol import Search
from inferencebench.search.slo import Slo, worst_excess
from inferencebench.search.trials import Candidate, Status
from inferencebench.search.verify import Verification, Verified
from inferencebench.serve.logs import TAIL_BYTES
from inferencebench.serve.text import printable
from inferencebench.suites.model import Metric, Record, ScenarioName

OBJECTIVES = {
    "ttft": (Metric.TTFT, ScenarioName.PREFILL),
    "tpot": (Metric.TPOT, ScenarioName.DECODE),
    "throughput": (Metric.REQUESTS_PER_S, ScenarioName.THROUGHPUT),
    "balanced": (Metric.BALANCED, ScenarioName.BALANCED),
}
"""Objective → what is measured, and the scenario whose first guesses are tried."""
SEARCH_SHARE = 0.85
"""Of the budget; the rest verifies the winner and the default on launches that the choice did not see."""
VERSION = 3
"""Raised when the protocol changes: journals of another version are other searches."""
JOURNAL, PLAN = "journal.jsonl", "plan.json"
TELLING = re.compile("error|exception|fatal", re.IGNORECASE)
"""In a line of a server's log that says why it ended."""


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


class Plan(Record):
    """What a killed search keeps when it goes on, whatever budget the command then has."""

    measure_s: float


class Bound(Record):
    """A service level and what the verification saw."""

    name: str
    bound: float
    value: float | None
    met: bool


class Tuned(Record):
    """The result of `inferencebench tune`."""

    schema_version: int = 1
    candidate: Candidate
    engine_version: str | None
    objective: str
    metric: Metric
    meets_slo: bool
    """All bounds hold in the verification, and enough greedy replies are the default's."""
    slo: tuple[Bound, ...]
    value: float | None
    """The objective on the verifying launch."""
    default_value: float | None
    """The same of the default, on a launch of its own beside it."""
    improvement: float | None
    """How many times better than the default: above 1 is better."""
    agreement: float | None
    """Share of greedy replies equal to the default's, over the default's own repeatability, full check."""
    agreement_checks: int
    agrees: bool
    """Whether that share is at least the one asked for, or nothing was compared."""
    agreement_shown: bool
    """Whether there are prompts enough to show that share with 95 % confidence; else it alone decided."""
    reason: str
    closest: Candidate | None
    """Where no configuration met the bounds: the one that came closest in the search."""
    launcher: str
    """Path of the script to start the server with."""
    budget_s: float
    verify_s: float
    search: Outcome
    verified: MeasureRecord | None
    verified_default: MeasureRecord | None


def tune(
    request: Request,
    say: Callable[[str], None] = lambda text: None,
    on_progress: Callable[[str, Progress], None] | None = None,
) -> tuple[Tuned, Path]:
    """Search, verify, and write the report; the result and its folder. The same call continues one that was killed.

    Raises UserError for what does not go together, MissingError for an engine that is not installed,
    InfrastructureError when nothing serves the traffic: only the servers' logs are kept then."""
    subject = _subject(request)
    head = _head(request, subject)
    folder = request.out / f"{'-'.join(request.engines)}-{request.objective}-{head[:8]}"
    with lease(folder / ".lock", wait=False):
        finished = folder / "tuned.json"
        if finished.exists():
            say(f"{folder}: finished before; remove it to search again")
            return Tuned.model_validate_json(finished.read_bytes()), folder
        remove_tree(folder / "scratch")
        try:
            return _tuned(request, subject, Journal(folder / JOURNAL, head), folder, say, on_progress), folder
        finally:
            remove_tree(folder / "scratch")


def _subject(request: Request) -> Subject:
    from inferencebench.doctor.hardware import fingerprint
    from inferencebench.engines import registry as engines
    from inferencebench.run.machine import visible_devices
    from inferencebench.sandbox import registry as sandboxes

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


def _head(request: Request, subject: Subject) -> str:
    """What must be equal for readings to be comparable. Weights by size and time: they are too large to be hashed."""
    from inferencebench.doctor.hardware import fingerprint
    from inferencebench.files import sha256_file

    weights = sorted(
        (p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in subject.checkpoint.iterdir() if p.is_file()
    )
    versions = {name: engine.version() for name, engine in subject.engines.items()}
    spaces = {name: found.sha256 for name, found in subject.spaces.items()}
    load = [str(value) for value in vars(request.load).values()]
    return sha256_json([
        VERSION, versions, spaces, str(subject.checkpoint), weights, sha256_file(request.requests), load,
        request.objective, [s.model_dump() for s in request.slos], request.sampler, request.seed, request.agreement,
        subject.work.model, subject.sandbox.name, fingerprint().sha256,
    ])  # fmt: skip


def _tuned(
    request: Request,
    subject: Subject,
    journal: Journal,
    folder: Path,
    say: Callable[[str], None],
    on_progress: Callable[[str, Progress], None] | None,
) -> Tuned:
    metric, scenario = OBJECTIVES[request.objective]
    plan = _plan(request, folder)
    machine = LiveMachine(subject, folder, plan.measure_s, journal, on_progress)
    policy = Policy(
        budget_s=SEARCH_SHARE * request.budget_s,
        tau=request.agreement,
        mini_questions=MINI_CHECKS,
        limits=request.slos,
        seed=request.seed,
        unproven=True,
        whole_s=request.budget_s,
    )
    made = {name: samplers.make(request.sampler, found, request.seed) for name, found in subject.spaces.items()}
    search = Search(subject.spaces, made, scenario, machine, policy, journal, say)
    try:
        outcome = search.run()
    except InfrastructureError:
        raise _unserved(journal, folder) from None
    if not any(entry.reading is not None and entry.reading.status is Status.OK for entry in journal.entries):
        raise _unserved(journal, folder)
    began = machine.elapsed_s()
    choices = [outcome.candidate, *(c for c in search.standings.acceptable() if c != outcome.candidate)]
    default = search.standings.reference or Candidate(engine=request.engines[0])
    verification = Verification(machine, journal, 2 * plan.measure_s, request.budget_s, say)
    chosen, beside = verification.run(choices, default, request.slos, request.agreement)
    launcher = folder / "start_server.sh"
    write_atomic(launcher, _standalone(subject, chosen.candidate))
    launcher.chmod(0o755)
    result = _result(request, subject, journal, machine, (outcome, chosen, beside), launcher, began)
    name = f"tune {','.join(request.engines)} for {request.objective}"
    report.write(folder, name, outcome, journal.entries, launcher.read_text(), metric, request.agreement)
    write_json(folder / "tuned.json", result)
    return result


def _unserved(journal: Journal, folder: Path) -> InfrastructureError:
    """The error of a search in which nothing served. What it kept says nothing of another try, and goes."""
    reading = journal.entries[-1].reading if journal.entries else None
    reason = printable((reading.reason if reading else "") or "no reply within the budget")
    for name in (JOURNAL, PLAN):
        (folder / name).unlink(missing_ok=True)
    log = max((folder / "launches").glob("*/server.err"), default=None)
    line = "" if log is None else _telling_line(log)
    told = reason if line in reason else f"{reason}; {line}"
    where = "" if log is None else f" ({log})"
    return InfrastructureError(f"the default does not serve this traffic: {told}{where}")


def _telling_line(log: Path) -> str:
    """The last line about an error, or else the last with anything in it."""
    text = log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
    lines = [line for whole in text.splitlines() if (line := whole.strip())]
    return printable(next(filter(TELLING.search, reversed(lines)), lines[-1] if lines else ""))


def _plan(request: Request, folder: Path) -> Plan:
    path = folder / PLAN
    if not path.exists():
        write_json(path, Plan(measure_s=measure_cap_s(request.budget_s)))
    return Plan.model_validate_json(path.read_bytes())


def _result(
    request: Request,
    subject: Subject,
    journal: Journal,
    machine: LiveMachine,
    decided: tuple[Outcome, Verified, Verified | None],
    launcher: Path,
    verify_began_s: float,
) -> Tuned:
    outcome, chosen, beside = decided
    metric, seen = subject.metric, chosen.seen
    default = None if beside is None else beside.seen.record
    shown = figures(seen.record) if seen.record is not None else {}
    value = shown.get(metric.value)
    before = figures(default).get(metric.value) if default is not None else None
    improvement = None
    if value and before:
        improvement = before / value if metric.lower_is_better else value / before
    bounds = tuple(
        Bound(name=s.name, bound=s.bound, value=shown.get(s.metric), met=s.excess(shown) <= 0) for s in request.slos
    )
    ok = seen.reading.status is Status.OK
    agrees = chosen.agrees(request.agreement)
    meets = ok and agrees and all(bound.met for bound in bounds)
    gate = seen.reading.gate
    reason = outcome.reason
    if not meets:
        reason = "nothing held when it was launched again; this came closest"
    elif chosen.candidate != outcome.candidate:
        reason = "the search's first choice did not hold when it was launched again; this is the next best"
    return Tuned(
        candidate=chosen.candidate,
        engine_version=subject.engines[chosen.candidate.engine].version(),
        objective=request.objective,
        metric=metric,
        meets_slo=meets,
        slo=bounds,
        value=value,
        default_value=before,
        improvement=improvement,
        agreement=None if gate is None else gate.ratio,
        agreement_checks=0 if gate is None else gate.total,
        agrees=agrees,
        agreement_shown=machine.reference.shows(request.agreement),
        reason=reason if ok else f"the verifying launch failed: {seen.reading.reason}",
        closest=None if meets else _closest(request, journal),
        launcher=str(launcher),
        budget_s=request.budget_s,
        verify_s=machine.elapsed_s() - verify_began_s,
        search=outcome,
        verified=seen.record,
        verified_default=default,
    )


def _closest(request: Request, journal: Journal) -> Candidate | None:
    failed = report.refused(journal.entries, request.agreement)
    served = [
        e
        for e in journal.entries
        if e.reading is not None and e.reading.status is Status.OK and e.candidate.key not in failed
    ]
    ranked = sorted(served, key=lambda e: worst_excess(request.slos, e.reading.metrics if e.reading else {}))
    return ranked[0].candidate if ranked and request.slos else None


def _standalone(subject: Subject, candidate: Candidate) -> str:
    """The launcher with this machine's paths as defaults, so that it runs as it is."""
    first, _, rest = subject.launcher(candidate).partition("\n")
    values = {
        "MODEL_PATH": shlex.quote(str(subject.checkpoint)),
        "MODEL_ID": shlex.quote(subject.work.model),
        "IB_PYTHON": shlex.quote(sys.executable),
        "HOST": "127.0.0.1",
        "PORT": "8000",
    }
    lines = [f'test -n "${name}" || {name}={value}; export {name}' for name, value in values.items()]
    return "\n".join([first, *lines, rest])
