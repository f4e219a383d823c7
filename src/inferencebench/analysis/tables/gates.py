"""Tables of the gates: how runs ended, and what another threshold would have changed."""

from collections.abc import Callable, Sequence

from inferencebench.analysis import statistics
from inferencebench.analysis.runs import Run, Runs
from inferencebench.analysis.tables.groups import (
    Group,
    Score,
    contestants,
    groups,
    ids,
    mean_cell,
    scenario_columns,
    scenarios_of,
    scoring,
    unjudged,
    unjudged_notes,
)
from inferencebench.analysis.tables.model import Column, Family, Made, Options, Row, Value
from inferencebench.gates.integrity.registry import missing_required
from inferencebench.gates.quality import QualityResult
from inferencebench.run.outcome import Evidence, decide
from inferencebench.run.record import Outcome, Result
from inferencebench.suites.model import ScenarioName

QUALITY = (Outcome.QUALITY_FAILED, Outcome.QUALITY_INCOMPLETE)
OUTCOME_ROWS: tuple[tuple[str, tuple[Outcome, ...]], ...] = (
    ("passed both gates", (Outcome.PASSED,)),
    ("quality gate failed or incomplete", QUALITY),
    ("  below the threshold", (Outcome.QUALITY_FAILED,)),
    ("  not completed", (Outcome.QUALITY_INCOMPLETE,)),
    ("integrity-flagged", (Outcome.INTEGRITY_FLAGGED,)),
    ("server or runtime failure", (Outcome.SERVER_FAILED,)),
    ("review pending (not scored)", (Outcome.REVIEW_PENDING,)),
    ("infrastructure error (not scored)", (Outcome.INFRASTRUCTURE_ERROR,)),
)
"""Rows of the outcomes table; the indented ones split the row before."""

TAUS = (0.60, 0.70, 0.80, 0.85, 0.90, 0.93, 0.95, 0.97)
"""The thresholds of the paper's Table 9."""


def outcomes(runs: Runs, options: Options) -> Made:
    """Agents' runs by outcome, which are exclusive; per cent of all of them. What is not scored has rows of its own."""
    kept, notes = contestants(runs.runs, options)
    rows = []
    for title, which in OUTCOME_ROWS:
        found = [run for run in kept if run.result.outcome in which]
        if found or which[0].scored:
            rows.append(_share(title, found, kept))
    rows.append(_share("all runs", kept, kept))
    columns = [
        Column(key="outcome", title="outcome"),
        Column(key="runs", title="runs"),
        Column(key="percent", title="share", unit="%", digits=1),
    ]
    return Made(columns, rows, [*notes, *unjudged_notes(kept)])


def _share(title: str, found: Sequence[Run], of: Sequence[Run]) -> Row:
    share = 100 * len(found) / len(of) if of else None
    runs = ids(found)
    return Row(
        values={
            "outcome": Value(value=title),
            "runs": Value(value=len(found), runs=runs),
            "percent": Value(value=share, runs=runs),
        }
    )


def at_tau(result: Result, tau: float) -> Result:
    """The result as it would be at another threshold, from the stored answers' counts and by the table of outcomes.

    Unchanged where the gate has nothing to compare: the baseline itself, random weights, a server that failed."""
    quality = result.quality
    if quality is None or result.baseline is None or not quality.baseline_correct or _exempt(quality):
        return result
    passes = None if quality.incomplete else _passes(quality, tau)
    if passes == quality.passed:
        return result
    moved = quality.model_copy(update={"tau": tau, "passed": passes})
    failure = result.measurement.failure if result.measurement else None
    missing = missing_required(result.integrity) if result.integrity else ()
    decision = decide(Evidence(None, failure, result.integrity, moved, result.decision, missing))
    outcome = decision.outcome
    if result.outcome in (Outcome.INFRASTRUCTURE_ERROR, Outcome.SERVER_FAILED, Outcome.INTEGRITY_FLAGGED):
        outcome = result.outcome
    raw = result.raw_speedup
    speedup = max(1.0, raw) if outcome is Outcome.PASSED and raw is not None else 1.0
    return result.model_copy(
        update={"quality": moved, "outcome": outcome, "speedup": speedup, "reason": decision.reason}
    )


def _passes(quality: QualityResult, tau: float) -> bool:
    return quality.correct >= tau * (quality.baseline_correct or 0) - 1e-9


def _exempt(quality: QualityResult) -> bool:
    """Whether the gate was waived (random weights): it passed against its own rule."""
    return quality.passed is True and not _passes(quality, quality.tau)


def thresholds(runs: Runs, options: Options) -> Made:
    """Every run scored again at eight thresholds from its stored answers. Best: per scenario the largest cell mean of
    an agent. Largest rank change: of any agent's rank by aggregate against that at the suite's own threshold. Suites
    whose quality is not judged are left out."""
    found, notes = contestants(runs.runs, options)
    left_out = unjudged(runs.runs)
    kept = [run for run in found if run.result.suite not in left_out]
    notes = [*notes, *(f"{note}: its runs are left out" for note in unjudged_notes(runs.runs))]
    base = _ranks(groups(kept), scoring(options.regression))
    scenarios = scenarios_of(groups(kept))
    own = sorted({run.result.quality.tau for run in kept if run.result.quality})
    rows = [_at(tau, kept, base, scenarios, options) for tau in sorted({*TAUS, *own})] if kept else []
    columns = [
        Column(key="tau", title="τ"),
        Column(key="passed", title="passed"),
        Column(key="total", title="of"),
        *scenario_columns(scenarios),
        Column(key="max_rank_change", title="largest rank change"),
    ]
    return Made(columns, rows, notes)


def _at(
    tau: float, kept: Sequence[Run], base: dict[str, int], scenarios: Sequence[ScenarioName], options: Options
) -> Row:
    moved = [Run(run.directory, at_tau(run.result, tau)) for run in kept]
    score = scoring(options.regression)
    lines = groups(moved)
    now = _ranks(lines, score)
    good = [run for run in moved if run.result.outcome is Outcome.PASSED]
    shared = base.keys() & now.keys()
    values = {
        "tau": Value(value=tau),
        "passed": Value(value=len(good), runs=ids(good)),
        "total": Value(value=len(moved)),
        "max_rank_change": Value(value=max((abs(base[k] - now[k]) for k in shared), default=0)),
    }
    return Row(values=values | {s.value: best_cell(lines, s, score) for s in scenarios})


def _ranks(lines: Sequence[Group], score: Score) -> dict[str, int]:
    found: dict[str, int] = {}
    for suite in {line.suite for line in lines}:
        aggregates = {
            f"{suite}/{line.label}": statistics.aggregate(line.scores(score))
            for line in lines
            if line.suite == suite and line.complete
        }
        found |= statistics.ranks(aggregates)
    return found


def best_cell(lines: Sequence[Group], scenario: ScenarioName, score: Callable[[Run], float]) -> Value:
    """The largest cell mean of any line on a scenario, with the runs behind it."""
    means = [(mean_cell(line.cells.get(scenario, ()), score), line) for line in lines]
    known = [(mean, line) for mean, line in means if mean is not None]
    if not known:
        return Value(value=None)
    return max(known, key=lambda pair: pair[0])[1].cell(scenario, score)


FAMILIES = (
    Family("outcomes", "How the runs ended", "Table 3", outcomes),
    Family("thresholds", "What another quality threshold would change", "Table 9", thresholds),
)
