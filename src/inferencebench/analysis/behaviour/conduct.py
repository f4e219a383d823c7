"""What a run's launches add up to: experiments, rollbacks, use of the budget, and a process score."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from inferencebench.analysis.behaviour.launches import Configuration, Launch, Session, final_configuration, session
from inferencebench.run.record import Evaluation, Result
from inferencebench.suites.model import Record

TOLERANCE = 0.02
"""Relative difference of two measurements below which neither is better."""
LATE = 0.75
"""Share of the budget after which a regression is a late one."""
DEPENDENCY_INSTALLS = 8
"""So many installing commands without a first valid server are a dependency spiral."""


class Conduct(Record):
    """How one run worked. Shares are of 1; None where there is nothing to tell it from."""

    engine: str | None
    """Engine of the frozen launcher; None without one, `custom` where none is recognised."""
    settings: dict[str, str]
    """Its non-default settings."""
    launches: int
    distinct_configurations: int
    """Different non-default configurations launched or submitted."""
    restarts: int
    """Launches after the first."""
    identical_relaunches: int
    """Restarts of the very same thing as before."""
    single_variable_edits: int
    """Restarts with the same engine and one setting changed."""
    multi_variable_edits: int
    """Restarts with another engine or more than one setting changed."""
    controlled_comparisons: int
    """Single-variable edits of which both sides were measured in full."""
    rollbacks: int
    """Returns to something launched before, after something else."""
    first_working_configuration: bool | None
    """Whether what was submitted is the first that served."""
    first_valid_s: float | None
    """When the first valid evaluation ended."""
    idle_share: float | None
    """Of the session after the evaluation that gave the last improvement."""
    preserved_best: float | None
    """Last measurement of what was submitted over the best of the session, at most 1."""
    late_regression: bool
    """Whether the last quarter of the budget left something worse than the best before."""
    declared_done: bool
    """Ended by itself with more than a tenth of the budget left."""
    tried_and_abandoned: tuple[str, ...]
    """Engines launched and not submitted."""
    dependency_spiral: bool
    stalled_continuations: int
    """Times it was told to go on and made no tool call until the next prompt or the end."""
    mentions: tuple[str, ...]
    """Techniques named in what the agent said, thought or ran."""
    process_score: float | None
    """See `process_score`, 0 to 100."""


def conduct(directory: Path, result: Result, evaluations: tuple[Evaluation, ...], budget_s: float | None) -> Conduct:
    """The conduct of a finished run. Reads the trajectory once, as a stream; never raises for what an agent wrote."""
    return added_up(session(directory, evaluations), directory, result, evaluations, budget_s)


def added_up(
    found: Session, directory: Path, result: Result, evaluations: tuple[Evaluation, ...], budget_s: float | None
) -> Conduct:
    """The conduct of a session that was read already."""
    final = final_configuration(directory)
    launches = found.launches
    pairs = list(pairwise(launches))
    identical = sum(a.same(b) is True for a, b in pairs)
    single = [(a, b) for a, b in pairs if changed(a.configuration, b.configuration) == 1]
    multi = [(a, b) for a, b in pairs if changed(a.configuration, b.configuration) > 1]
    lower = result.metric.name.lower_is_better
    valid = [one for one in evaluations if one.ok and not one.quick and one.value]
    budget = budget_s or result.cost.solve_s
    submitted = result.provenance.submission_sha256
    kept = _preserved(valid, submitted, lower)
    first = min((one.at_s + one.seconds for one in evaluations if one.ok), default=None)
    configurations = [one.configuration for one in launches] + [final]
    partial = Conduct(
        engine=None if final is None else final.engine or "custom",
        settings=dict(final.settings) if final else {},
        launches=len(launches),
        distinct_configurations=len({c for c in configurations if c is not None and c.settings}),
        restarts=len(pairs),
        identical_relaunches=identical,
        single_variable_edits=len(single),
        multi_variable_edits=len(multi),
        controlled_comparisons=sum(bool(a.full and b.full and a.ok and b.ok) for a, b in single),
        rollbacks=_rollbacks(launches),
        first_working_configuration=_first_working(launches, final, submitted),
        first_valid_s=first,
        idle_share=_idle(valid, lower, result.cost.solve_s),
        preserved_best=kept,
        late_regression=kept is not None and kept < 1 - TOLERANCE and _best_at(valid, lower) < LATE * budget,
        declared_done=result.cost.solve_s < 0.9 * budget,
        tried_and_abandoned=_abandoned(launches, final),
        dependency_spiral=found.installs >= DEPENDENCY_INSTALLS and first is None,
        stalled_continuations=found.stalled,
        mentions=tuple(sorted(found.mentions)),
        process_score=None,
    )
    return partial.model_copy(update={"process_score": process_score(partial, budget) if launches else None})


def process_score(one: Conduct, budget_s: float) -> float:
    """How well a run experimented, 0 to 100, whatever its speed: the mean of the parts there is evidence for.

    Early: 1 - time to the first valid evaluation / budget. Controlled: single-variable edits over all edits. Fresh:
    restarts that were not identical over all restarts. Kept: the preserved-best ratio. Used: 1 - the share of the
    session after the last improvement. A run without a valid evaluation has 0 for early, kept and used. (Our own
    definition; the paper names such a score as future work.)"""
    edits = one.single_variable_edits + one.multi_variable_edits
    parts = [
        0.0 if one.first_valid_s is None else max(0.0, 1 - one.first_valid_s / budget_s),
        one.single_variable_edits / edits if edits else None,
        1 - one.identical_relaunches / one.restarts if one.restarts else None,
        one.preserved_best if one.preserved_best is not None else 0.0,
        0.0 if one.idle_share is None else 1 - one.idle_share,
    ]
    return 100 * fmean(part for part in parts if part is not None)


def changed(before: Configuration | None, after: Configuration | None) -> int:
    """How many settings differ; another engine counts as two, something not seen as none."""
    if before is None or after is None:
        return 0
    if before.engine != after.engine:
        return 2
    return len({name for name, _ in set(before.settings) ^ set(after.settings)})


def _rollbacks(launches: Sequence[Launch]) -> int:
    return sum(
        _differs(launch, launches[i + 1]) and any(_returns(launch, old) for old in launches[: i + 1])
        for i, launch in enumerate(launches[2:])
    )


def _differs(launch: Launch, last: Launch) -> bool:
    """Whether it is another thing than the one before: by its settings, where both are known."""
    if launch.configuration and last.configuration and not (launch.sha256 and last.sha256):
        return launch.configuration != last.configuration
    return launch.same(last) is False


def _returns(launch: Launch, old: Launch) -> bool:
    """Whether an older start is this one again; the harness's snapshots are compared with each other only."""
    return bool(launch.sha256) == bool(old.sha256) and launch.same(old) is True


def _first_working(launches: Sequence[Launch], final: Configuration | None, submitted: str) -> bool | None:
    """By the snapshot's hash where there is one, else by the configuration."""
    first = next((one for one in launches if one.ok), None)
    if first is None:
        return None
    if first.sha256 and submitted:
        return first.sha256 == submitted
    return None if first.configuration is None or final is None else first.configuration == final


def _better(value: float, than: float, lower: bool) -> bool:
    return value < than * (1 - TOLERANCE) if lower else value > than * (1 + TOLERANCE)


def _best_at(valid: Sequence[Evaluation], lower: bool) -> float:
    best = (min if lower else max)(valid, key=lambda one: one.value or 0.0)
    return best.at_s


def _preserved(valid: Sequence[Evaluation], submitted: str, lower: bool) -> float | None:
    own = [one.value or 0.0 for one in valid if one.submission_sha256 == submitted]
    if not own:
        return None
    values = [one.value or 0.0 for one in valid]
    return min(1.0, min(values) / own[-1] if lower else own[-1] / max(values))


def _idle(valid: Sequence[Evaluation], lower: bool, solve_s: float) -> float | None:
    if not valid or solve_s <= 0:
        return None
    best, last = valid[0].value or 0.0, valid[0]
    for one in valid[1:]:
        if _better(one.value or 0.0, best, lower):
            best, last = one.value or 0.0, one
    return min(1.0, max(0.0, 1 - (last.at_s + last.seconds) / solve_s))


def _abandoned(launches: Sequence[Launch], final: Configuration | None) -> tuple[str, ...]:
    tried = {one.configuration.engine for one in launches if one.configuration and one.configuration.engine}
    return tuple(sorted(tried - {final.engine if final else None}))
