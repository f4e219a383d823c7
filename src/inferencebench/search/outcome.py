"""What a search decided, and where its budget went."""

from collections import Counter
from collections.abc import Sequence

from inferencebench.search.journal import Entry
from inferencebench.search.trials import Candidate, Kind, Status
from inferencebench.suites.model import Record


class Incumbent(Record):
    """The best so far, after a trial had ended."""

    at_s: float
    candidate: Candidate
    loss: float
    """Mean of its readings until then."""


class Outcome(Record):
    """What a search decided. Seconds are of the budget: all that is spent counts, and nothing else does."""

    candidate: Candidate
    loss: float | None
    """Mean of its readings; None where nothing could be measured."""
    confirmed: bool
    """False: the default, because nothing better was confirmed, or a published protocol's choice."""
    reason: str
    trials: int
    launch_s: float
    measure_s: float
    gate_s: float
    """Launching, measuring and asking questions, over all trials: with `other_s` the whole of `elapsed_s`."""
    other_s: float
    """Proposals, ends of servers, and what a killed session lost."""
    crash_s: float
    """Of these, on trials that did not serve."""
    confirm_s: float
    """Of these, on confirmations."""
    elapsed_s: float
    budget_s: float
    pruned: dict[str, int]
    """Source of a rule → how many launched proposals had broken it and were changed first."""
    curve: tuple[Incumbent, ...]
    """What the search would have called its best, whenever that changed."""


def account(
    entries: Sequence[Entry],
    *,
    candidate: Candidate,
    loss: float | None,
    confirmed: bool,
    reason: str,
    elapsed_s: float,
    budget_s: float,
    curve: Sequence[Incumbent],
) -> Outcome:
    """A decision with its costs, added up from the journal."""
    entries = [e for e in entries if e.kind is not Kind.VERIFICATION]
    done = [(e.kind, e.reading) for e in entries if e.reading is not None]
    return Outcome(
        candidate=candidate,
        loss=loss,
        confirmed=confirmed,
        reason=reason,
        trials=len(done),
        launch_s=sum(r.launch_s for _, r in done),
        measure_s=sum(r.measure_s for _, r in done),
        gate_s=sum(r.gate_s for _, r in done),
        other_s=max(0.0, elapsed_s - sum(r.seconds for _, r in done)),
        crash_s=sum(r.seconds for _, r in done if r.status is Status.CRASHED),
        confirm_s=sum(r.seconds for kind, r in done if kind is Kind.CONFIRMATION),
        elapsed_s=elapsed_s,
        budget_s=budget_s,
        pruned=dict(Counter(source for e in entries for source in e.pruned)),
        curve=tuple(curve),
    )
