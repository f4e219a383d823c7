"""A search for one's own server: engine, model, traffic and bounds in; a verified configuration and launcher out."""

import re
from collections.abc import Callable
from pathlib import Path

from inferencebench.errors import InfrastructureError
from inferencebench.files import sha256_json, write_atomic, write_json
from inferencebench.load.model import Progress
from inferencebench.run.machine import lease
from inferencebench.sandbox.removal import remove_tree
from inferencebench.search import report, samplers
from inferencebench.search.agreement import MINI_CHECKS
from inferencebench.search.journal import Journal
from inferencebench.search.live import LiveMachine, Subject
from inferencebench.search.policy import Policy, measure_cap_s
from inferencebench.search.protocol import Search
from inferencebench.search.request import OBJECTIVES, SEARCH_SHARE, Request, subject_of
from inferencebench.search.trials import Candidate, Status
from inferencebench.search.tuned import Tuned, standalone, tuned
from inferencebench.search.verify import Verification
from inferencebench.serve.logs import TAIL_BYTES
from inferencebench.serve.text import printable
from inferencebench.suites.model import Record

VERSION = 3
"""Raised when the protocol changes: journals of another version are other searches."""
JOURNAL, PLAN = "journal.jsonl", "plan.json"
TELLING = re.compile("error|exception|fatal", re.IGNORECASE)
"""In a line of a server's log that says why it ended."""


class Plan(Record):
    """What a killed search keeps when it goes on, whatever budget the command then has."""

    measure_s: float


def tune(
    request: Request,
    say: Callable[[str], None] = lambda text: None,
    on_progress: Callable[[str, Progress], None] | None = None,
) -> tuple[Tuned, Path]:
    """Search, verify, and write the report; the result and its folder. The same call continues one that was killed.

    Raises UserError for what does not go together, MissingError for an engine that is not installed,
    InfrastructureError when nothing serves the traffic: only the servers' logs are kept then."""
    subject = subject_of(request)
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
    write_atomic(launcher, standalone(subject, chosen.candidate))
    launcher.chmod(0o755)
    result = tuned(request, subject, journal, machine, (outcome, chosen, beside), launcher, began)
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
