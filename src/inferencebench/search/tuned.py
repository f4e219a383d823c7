"""What a search for one's own server gives: a verified configuration, what it was seen to do, and its launcher."""

import shlex
import sys
from pathlib import Path

from inferencebench.load.session import MeasureRecord
from inferencebench.search import report
from inferencebench.search.journal import Journal
from inferencebench.search.live import LiveMachine, Subject, figures
from inferencebench.search.outcome import Outcome
from inferencebench.search.request import Request
from inferencebench.search.slo import worst_excess
from inferencebench.search.trials import Candidate, Status
from inferencebench.search.verify import Verified
from inferencebench.suites.model import Metric, Record


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


def tuned(
    request: Request,
    subject: Subject,
    journal: Journal,
    machine: LiveMachine,
    decided: tuple[Outcome, Verified, Verified | None],
    launcher: Path,
    verify_began_s: float,
) -> Tuned:
    """The result of a search that chose, and of the launches that verified the choice and the default beside it."""
    outcome, chosen, beside = decided
    metric, seen = subject.metric, chosen.seen
    default = None if beside is None else beside.seen.record
    shown = figures(seen.record) if seen.record is not None else {}
    value = shown.get(metric.value)
    before = figures(default).get(metric.value) if default is not None else None
    bounds = tuple(
        Bound(name=s.name, bound=s.bound, value=shown.get(s.metric), met=s.excess(shown) <= 0) for s in request.slos
    )
    ok = seen.reading.status is Status.OK
    agrees = chosen.agrees(request.agreement)
    meets = ok and agrees and all(bound.met for bound in bounds)
    gate = seen.reading.gate
    return Tuned(
        candidate=chosen.candidate,
        engine_version=subject.engines[chosen.candidate.engine].version(),
        objective=request.objective,
        metric=metric,
        meets_slo=meets,
        slo=bounds,
        value=value,
        default_value=before,
        improvement=_improvement(metric, before, value),
        agreement=None if gate is None else gate.ratio,
        agreement_checks=0 if gate is None else gate.total,
        agrees=agrees,
        agreement_shown=machine.reference.shows(request.agreement),
        reason=_reason(outcome, chosen, meets=meets),
        closest=None if meets else closest(request, journal),
        launcher=str(launcher),
        budget_s=request.budget_s,
        verify_s=machine.elapsed_s() - verify_began_s,
        search=outcome,
        verified=seen.record,
        verified_default=default,
    )


def _improvement(metric: Metric, before: float | None, value: float | None) -> float | None:
    """How many times better; None where either was not seen."""
    if not (value and before):
        return None
    return before / value if metric.lower_is_better else value / before


def _reason(outcome: Outcome, chosen: Verified, *, meets: bool) -> str:
    """Why it is this one."""
    if chosen.seen.reading.status is not Status.OK:
        return f"the verifying launch failed: {chosen.seen.reading.reason}"
    if not meets:
        return "nothing held when it was launched again; this came closest"
    if chosen.candidate != outcome.candidate:
        return "the search's first choice did not hold when it was launched again; this is the next best"
    return outcome.reason


def closest(request: Request, journal: Journal) -> Candidate | None:
    """Of what served in the search and was not refused, the candidate nearest to the bounds."""
    failed = report.refused(journal.entries, request.agreement)
    served = [
        e
        for e in journal.entries
        if e.reading is not None and e.reading.status is Status.OK and e.candidate.key not in failed
    ]
    ranked = sorted(served, key=lambda e: worst_excess(request.slos, e.reading.metrics if e.reading else {}))
    return ranked[0].candidate if ranked and request.slos else None


def standalone(subject: Subject, candidate: Candidate) -> str:
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
