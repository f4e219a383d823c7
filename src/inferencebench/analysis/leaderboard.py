"""The leaderboard: cells over seed pairs, and agents over scenarios."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Literal, NamedTuple

from inferencebench.analysis.statistics import bootstrap_interval, geometric_mean, jackknife_sem, rank_intervals
from inferencebench.run.record import Outcome, Result
from inferencebench.suites.model import Record, ScenarioName

Regression = Literal["floor", "raw"]


class Cell(Record):
    """One agent under one condition on one scenario: the mean over seed pairs (repeat 0) of its scored runs."""

    suite: str
    agent: str
    condition: str
    scenario: ScenarioName
    n: int
    """Scored runs."""
    speedup_mean: float | None
    """Mean speedup, failed runs as 1.0; None when no run is scored."""
    speedup_sem: float | None
    """Standard error with ddof = 1; None for fewer than two runs."""
    raw_speedup_mean: float | None
    """Mean of the raw ratios of scored runs that have one, whatever their outcome."""
    pass_rate: float | None
    speedup_given_pass_mean: float | None
    metric: str
    value_mean: float | None
    """Mean of the primary metric in its native unit."""
    outcomes: dict[str, int]
    ranked: bool
    """False when a run of the cell is not ranked (unverified sandbox, shared device)."""


class AgentRow(Record):
    """One agent under one condition on one suite."""

    suite: str
    agent: str
    condition: str
    scenarios: int
    """Scenarios with a scored cell."""
    aggregate: float | None
    """Geometric mean of the cell means."""
    aggregate_sem: float | None
    """Jackknife over seed pairs of the published estimator; None for fewer than two pairs."""
    aggregate_ci95: tuple[float, float] | None = None
    """Bootstrap over seed pairs, see `statistics.bootstrap_interval`."""
    rank: int | None
    """Among rows that are ranked and cover every scenario of the board; ties share a rank."""
    rank_ci95: tuple[int, int] | None = None
    """Central 95 % of its ranks when the seed pairs are drawn anew, see `statistics.rank_intervals`."""


class Board(NamedTuple):
    """Cells and agents, best first."""

    cells: list[Cell]
    agents: list[AgentRow]


def board(results: Sequence[Result], regression: Regression = "floor") -> Board:
    """The leaderboard of some results. `regression="raw"` keeps passed runs below 1.0, as the published table does."""
    groups: dict[tuple[str, str, str], dict[ScenarioName, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        if result.repeat == 0:
            groups[result.suite, result.agent, result.condition][ScenarioName(result.scenario)].append(result)
    cells = [_cell(runs, regression) for group in groups.values() for runs in group.values()]
    covered = {suite: {c.scenario for c in cells if c.suite == suite} for suite in {c.suite for c in cells}}
    rows = [_row(group, [c for c in cells if _key(c) == key], regression) for key, group in groups.items()]
    by_key = {key: all(c.ranked for c in cells if _key(c) == key) for key in groups}
    eligible = [r for r in rows if by_key[_key(r)] and r.scenarios == len(covered[r.suite])]
    spans = _spans([(key, row) for key, row in zip(groups, rows, strict=True) if row in eligible], groups, regression)
    ranked = [
        row.model_copy(update={"rank": _rank(row, eligible), "rank_ci95": spans.get(_key(row))})
        if row in eligible
        else row
        for row in rows
    ]
    ranked.sort(key=lambda r: (r.suite, r.rank is None, -(r.aggregate or 0.0), r.agent, r.condition))
    order = {_key(row): number for number, row in enumerate(ranked)}
    scenario_order = list(ScenarioName)
    cells.sort(key=lambda c: (order[_key(c)], scenario_order.index(c.scenario)))
    return Board(cells, ranked)


def counted(result: Result, regression: Regression) -> float:
    """What a scored run adds to its cell's mean."""
    if regression == "raw" and result.outcome is Outcome.PASSED and result.raw_speedup is not None:
        return result.raw_speedup
    return result.speedup


def scores(group: Mapping[ScenarioName, Sequence[Result]], regression: Regression) -> list[dict[str, float]]:
    """Per scenario what its scored runs add to the mean, by seed pair."""
    return [{str(r.seed_pair): counted(r, regression) for r in runs if r.outcome.scored} for runs in group.values()]


def _key(row: Cell | AgentRow) -> tuple[str, str, str]:
    return row.suite, row.agent, row.condition


def _cell(runs: list[Result], regression: Regression) -> Cell:
    scored = [r for r in runs if r.outcome.scored]
    values = [counted(r, regression) for r in scored]
    passed = [r.speedup for r in scored if r.outcome is Outcome.PASSED]
    raw = [r.raw_speedup for r in scored if r.raw_speedup is not None]
    native = [r.metric.value for r in scored if r.metric.value is not None]
    first = runs[0]
    return Cell(
        suite=first.suite,
        agent=first.agent,
        condition=first.condition,
        scenario=ScenarioName(first.scenario),
        n=len(scored),
        speedup_mean=fmean(values) if values else None,
        speedup_sem=stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None,
        raw_speedup_mean=fmean(raw) if raw else None,
        pass_rate=len(passed) / len(scored) if scored else None,
        speedup_given_pass_mean=fmean(passed) if passed else None,
        metric=first.metric.name,
        value_mean=fmean(native) if native else None,
        outcomes=dict(sorted(Counter(r.outcome.value for r in runs).items())),
        ranked=bool(scored) and all(r.ranked for r in scored),
    )


def _row(group: dict[ScenarioName, list[Result]], cells: list[Cell], regression: Regression) -> AgentRow:
    means = [c.speedup_mean for c in cells if c.speedup_mean is not None]
    own = scores(group, regression)
    return AgentRow(
        suite=cells[0].suite,
        agent=cells[0].agent,
        condition=cells[0].condition,
        scenarios=len(means),
        aggregate=geometric_mean(means) if means else None,
        aggregate_sem=jackknife_sem(own) if len(means) == len(cells) else None,
        aggregate_ci95=bootstrap_interval(own) if len(means) == len(cells) else None,
        rank=None,
    )


def _spans(
    eligible: Sequence[tuple[tuple[str, str, str], AgentRow]],
    groups: Mapping[tuple[str, str, str], Mapping[ScenarioName, Sequence[Result]]],
    regression: Regression,
) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Rank intervals of these rows, suite by suite."""
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    for suite in {row.suite for _, row in eligible}:
        found |= rank_intervals({key: scores(groups[key], regression) for key, row in eligible if row.suite == suite})
    return found


def _rank(row: AgentRow, eligible: list[AgentRow]) -> int:
    mine = row.aggregate or 0.0
    return 1 + sum(1 for other in eligible if other.suite == row.suite and (other.aggregate or 0.0) > mine)
