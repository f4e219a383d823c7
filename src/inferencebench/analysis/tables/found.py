"""Found and submitted: the best that a run saw beside what it left behind."""

from inferencebench.analysis import statistics
from inferencebench.analysis.leaderboard import Regression, counted
from inferencebench.analysis.runs import Run, Runs
from inferencebench.analysis.tables.board import best_search, chosen_search
from inferencebench.analysis.tables.gates import best_cell
from inferencebench.analysis.tables.groups import (
    Score,
    by_aggregate,
    contestants,
    groups,
    scenario_columns,
    scenarios_of,
    scoring,
    suite_column,
)
from inferencebench.analysis.tables.model import Column, Family, Made, Options, Row, Value
from inferencebench.run import score as scores
from inferencebench.run.record import Result
from inferencebench.suites.model import ScenarioName


def seen_speedup(result: Result) -> float | None:
    """Speedup of the best valid full evaluation of the session (dev requests, mini gate) over the run's baseline."""
    best = result.best_seen
    return scores.raw_speedup(result.metric.name, best.value, result.metric.baseline) if best else None


def best_seen_score(run: Run, regression: Regression) -> float:
    """The larger of what was scored and what was seen."""
    return max(counted(run.result, regression), seen_speedup(run.result) or 0.0)


def seen_scoring(regression: Regression) -> Score:
    """What a run would add to its mean, had it submitted the best it saw."""
    return lambda run: best_seen_score(run, regression)


def best_seen(runs: Runs, options: Options) -> Made:
    """Per scenario the largest cell mean: of agents as submitted, of agents had each run submitted the best valid full
    evaluation it saw (measured by the harness, on dev requests), and of any search. Aggregate: geometric mean."""
    kept, notes = contestants(runs.runs, options)
    lines = groups(kept)
    score, seen = scoring(options.regression), seen_scoring(options.regression)
    scenarios = scenarios_of(lines)
    suites = list(dict.fromkeys(line.suite for line in lines))
    rows = []
    for suite in suites:
        own = [line for line in lines if line.suite == suite]
        modes = {
            "best agent as submitted": {s: best_cell(own, s, score) for s in scenarios},
            "best agent as seen": {s: best_cell(own, s, seen) for s in scenarios},
            "best search": best_search(runs, score, suite),
            "search that was best on the other seed pairs": chosen_search(runs, score, suite),
        }
        rows += [_mode(suite, mode, cells, scenarios) for mode, cells in modes.items()]
    columns = [
        *suite_column(lines),
        Column(key="mode", title="per scenario"),
        Column(key="aggregate", title="aggregate", unit="x"),
        *scenario_columns(scenarios),
    ]
    return Made(columns, rows, notes)


def _mode(suite: str, mode: str, cells: dict[ScenarioName, Value], scenarios: list[ScenarioName]) -> Row:
    known = [float(c.value) for c in cells.values() if isinstance(c.value, float)]
    whole = len(known) == len(scenarios) > 0
    every = tuple(run for cell in cells.values() for run in cell.runs)
    aggregate = Value(value=statistics.geometric_mean(known) if whole else None, runs=every)
    head = {"suite": Value(value=suite), "mode": Value(value=mode), "aggregate": aggregate}
    return Row(values=head | {s.value: cell for s, cell in cells.items()})


def best_seen_agents(runs: Runs, options: Options) -> Made:
    """Per agent the aggregate as submitted, the aggregate had each run submitted the best it saw, and their ratio;
    ranks by the latter, beside those of the main table."""
    kept, notes = contestants(runs.runs, options)
    score, seen = scoring(options.regression), seen_scoring(options.regression)
    lines = [line for line in by_aggregate(groups(kept), seen) if line.complete]
    rows = []
    for suite in dict.fromkeys(line.suite for line in lines):
        own = [line for line in lines if line.suite == suite]
        final = {line: statistics.aggregate(line.scores(score)) for line in own}
        best = {line: statistics.aggregate(line.scores(seen)) for line in own}
        for line in own:
            rows.append(
                Row(
                    values={
                        "suite": Value(value=suite),
                        "rank": Value(value=statistics.ranks(best)[line]),
                        "method": Value(value=line.label),
                        "main_rank": Value(value=statistics.ranks(final)[line]),
                        "final": line.aggregate(score),
                        "seen": line.aggregate(seen),
                        "ratio": Value(value=best[line] / final[line]),
                    }
                )
            )
    columns = [
        *suite_column(lines),
        Column(key="rank", title="rank"),
        Column(key="method", title="method"),
        Column(key="main_rank", title="main rank"),
        Column(key="final", title="submitted", unit="x"),
        Column(key="seen", title="best seen", unit="x"),
        Column(key="ratio", title="ratio"),
    ]
    return Made(columns, rows, notes)


FAMILIES = (
    Family("best-seen", "Best submitted, best seen, best search", "Table 4", best_seen),
    Family("best-seen-agents", "Found and submitted, per agent", "Table 17", best_seen_agents),
)
