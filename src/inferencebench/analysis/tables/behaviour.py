"""Tables of how agents worked: failure modes, behaviour, process."""

import stat
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

from inferencebench.analysis.behaviour.conduct import Conduct
from inferencebench.analysis.behaviour.launches import TECHNIQUES
from inferencebench.analysis.runs import Run, Runs
from inferencebench.analysis.tables.groups import contestants, groups, ids, suite_column, unjudged_notes
from inferencebench.analysis.tables.model import Column, Family, Made, Options, Row, Value
from inferencebench.gates.integrity.model import Verdict
from inferencebench.run.machine import counted
from inferencebench.run.record import Outcome

JUDGED = "judge"
"""The check that is no rule."""


def _rule(run: Run) -> bool:
    """Whether a deterministic check failed: neither a judge's word nor a person's."""
    found = run.result.integrity
    return found is not None and any(c.verdict is Verdict.FAIL and c.name != JUDGED for c in found.checks)


class Mode(NamedTuple):
    """A failure mode: its row's title, its rule, and whether only a trajectory can tell."""

    title: str
    holds: Callable[[Run], bool]
    by_conduct: bool = True


MODES = (
    Mode("first working configuration submitted", lambda run: run.conduct.first_working_configuration is True),
    Mode("quality below the threshold", lambda run: run.result.outcome is Outcome.QUALITY_FAILED, by_conduct=False),
    Mode("multi-variable edits", lambda run: run.conduct.multi_variable_edits > 0),
    Mode("integrity rule triggered", _rule, by_conduct=False),
    Mode("server failed", lambda run: run.result.outcome is Outcome.SERVER_FAILED, by_conduct=False),
    Mode("late regression", lambda run: run.conduct.late_regression),
    Mode("declared itself done early", lambda run: run.conduct.declared_done),
    Mode("tried an engine and abandoned it", lambda run: bool(run.conduct.tried_and_abandoned)),
    Mode("stalled when told to go on", lambda run: run.conduct.stalled_continuations > 0),
    Mode("dependency spiral", lambda run: run.conduct.dependency_spiral),
)
"""Rows, not exclusive. The first five are the paper's."""


def has_trajectory(directory: Path) -> bool:
    """Whether the agent of a run left one: scripts, searches and engine defaults do not."""
    try:
        found = (directory / "solve" / "trajectory.jsonl").lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0


def _told(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Those with a trajectory, and a note on the others."""
    told = [run for run in runs if has_trajectory(run.directory)]
    left = len(runs) - len(told)
    enter = "enters" if left == 1 else "enter"
    note = f"{counted(left, 'run')} without a trajectory (scripts, searches) {enter} no share of conduct"
    return told, [note] if left else []


def failures(runs: Runs, options: Options) -> Made:
    """Failure modes by rule, not exclusive, per cent of agents' runs: the submission is the first that served; quality
    below τ; a relaunch that changed more than one setting; a deterministic integrity check failed; the server failed;
    and our own: a late regression, done before nine tenths of the budget, an engine tried and abandoned, told to go on
    without a tool call after it, eight or more installing commands without a valid server. Gates and servers are
    counted over all runs, conduct over those with a trajectory."""
    kept, notes = contestants(runs.runs, options)
    told, untold = _told(kept)
    rows = []
    for mode in MODES:
        of = told if mode.by_conduct else kept
        rows.append(_counted(mode.title, [run for run in of if mode.holds(run)], of))
    return Made(_counts("mode"), rows, [*notes, *untold, *unjudged_notes(kept)])


def _counts(key: str) -> list[Column]:
    return [
        Column(key=key, title=key),
        Column(key="runs", title="runs"),
        Column(key="of", title="of"),
        Column(key="percent", title="share", unit="%", digits=1),
    ]


def _counted(title: str, found: Sequence[Run], of: Sequence[Run], key: str = "mode") -> Row:
    """Runs, and of how many; holes where there are none to tell from."""
    values = {key: Value(value=title)}
    if of:
        behind = ids(found)
        values["runs"] = Value(value=len(found), runs=behind)
        values["of"] = Value(value=len(of))
        values["percent"] = Value(value=100 * len(found) / len(of), runs=behind)
    return Row(values=values)


def behaviour(runs: Runs, options: Options) -> Made:
    """Final engine of the frozen launcher; distinct non-default configurations launched or submitted; restarts and how
    many of them launched the very same again; techniques named in what the agent said, thought or ran, not in what
    tools printed. The engine's share is of all runs, identical relaunches are of all restarts, the rest is of the runs
    with a trajectory."""
    kept, notes = contestants(runs.runs, options)
    told, untold = _told(kept)
    engines = Counter(run.conduct.engine or "none" for run in kept)
    rows = []
    for engine, _ in engines.most_common():
        own = [run for run in kept if (run.conduct.engine or "none") == engine]
        rows.append(_counted(f"final engine: {engine}", own, kept, "what"))
    for label, low, high in (("0", 0, 0), ("1", 1, 1), ("2", 2, 2), ("3+", 3, 10**9)):
        own = [run for run in told if low <= run.conduct.distinct_configurations <= high]
        rows.append(_counted(f"non-default configurations: {label}", own, told, "what"))
    every = [run.conduct for run in told]
    rows += _middles("non-default configurations", [float(c.distinct_configurations) for c in every])
    rows += _middles("restarts", [float(c.restarts) for c in every])
    restarts, same = sum(c.restarts for c in every), sum(c.identical_relaunches for c in every)
    relaunched = {
        "what": Value(value="identical relaunches"),
        "runs": Value(value=same if restarts else None),
        "of": Value(value=restarts or None),
        "percent": Value(value=100 * same / restarts if restarts else None),
    }
    rows.append(Row(values=relaunched))
    for name in TECHNIQUES:
        rows.append(_counted(f"mentions {name}", [r for r in told if name in r.conduct.mentions], told, "what"))
    return Made([*_counts("what"), Column(key="value", title="value")], rows, [*notes, *untold])


def _middles(what: str, values: Sequence[float]) -> list[Row]:
    if not values:
        return []
    pairs = (("median", median(values)), ("mean", fmean(values)))
    return [Row(values={"what": Value(value=f"{what}, {name}"), "value": Value(value=v)}) for name, v in pairs]


PROCESS: tuple[tuple[str, str, int], ...] = (
    ("process_score", "process score", 1),
    ("launches", "launches", 1),
    ("single_variable_edits", "single-variable edits", 2),
    ("multi_variable_edits", "multi-variable edits", 2),
    ("controlled_comparisons", "controlled comparisons", 2),
    ("rollbacks", "rollbacks", 2),
    ("first_valid_s", "first valid server, s", 0),
    ("idle_share", "share after the last improvement", 2),
    ("preserved_best", "preserved best", 2),
)


def process(runs: Runs, options: Options) -> Made:
    """Per agent the means over its runs. Process score, 0 to 100: the mean of early (first valid evaluation against the
    budget), controlled (single-variable edits of all edits), fresh (restarts that changed something), kept (last
    measurement of the submission over the best seen) and used (session up to the last improvement)."""
    kept, notes = contestants(runs.runs, options)
    lines = groups(kept)
    rows = []
    for line in lines:
        values = {"suite": Value(value=line.suite), "method": Value(value=line.label)}
        for key, _, _ in PROCESS:
            known = [(run, _number(run.conduct, key)) for run in line.runs]
            numbers = [number for _, number in known if number is not None]
            if numbers:
                behind = ids(run for run, number in known if number is not None)
                values[key] = Value(value=fmean(numbers), runs=behind)
        rows.append(Row(values=values))
    columns = [Column(key=key, title=title, digits=digits) for key, title, digits in PROCESS]
    return Made([*suite_column(lines), Column(key="method", title="method"), *columns], rows, notes)


def _number(one: Conduct, key: str) -> float | None:
    value = getattr(one, key)
    return None if value is None else float(value)


FAMILIES = (
    Family("failures", "Failure modes, by rule", "Table 14", failures),
    Family("behaviour", "What the agents did", "Table 15", behaviour),
    Family("process", "How the agents experimented", "own", process),
)
