"""Tables of scores: the main one, best of n, measured native units, optimizer × engine."""

from collections.abc import Sequence
from itertools import pairwise
from urllib.parse import parse_qs

from inferencebench.analysis import statistics
from inferencebench.analysis.runs import Kind, Run, Runs
from inferencebench.analysis.tables.groups import (
    Group,
    Score,
    board_notes,
    by_aggregate,
    contestants,
    groups,
    ids,
    in_condition,
    mean_cell,
    scenario_columns,
    scenarios_of,
    scoring,
    suite_column,
    uneven,
)
from inferencebench.analysis.tables.model import Column, Family, Made, Options, Row, Value
from inferencebench.run.record import Outcome
from inferencebench.suites.model import Metric, ScenarioName

AGGREGATE = Column(key="aggregate", title="aggregate", unit="x")
PASSED = Column(key="passed", title="passed")


def main(runs: Runs, options: Options) -> Made:
    """Cell: mean speedup over the seed pairs ± SEM (ddof = 1), scored runs that did not pass as 1.0. Aggregate:
    geometric mean of the cell means, ± the delete-one jackknife over seed pairs. Ranks are among agents; the interval
    of ranks redraws the seed pairs. Searches, engine defaults and the baseline stand where their aggregate puts
    them."""
    kept, notes = in_condition(runs.runs, options)
    score = scoring(options.regression)
    lines = by_aggregate(groups(kept), score)
    scenarios = scenarios_of(lines)
    places, spans = _places(lines, score)
    rows = []
    for line in lines:
        head = {
            "suite": Value(value=line.suite),
            "rank": _place(places.get(line), spans.get(line)),
            "method": Value(value=line.label),
            "kind": Value(value=line.kind.value),
            "aggregate": line.aggregate(score),
            "passed": line.passed(),
        }
        rows.append(Row(values=head | _cells(line, scenarios, score)))
    noise = noise_note(runs)
    columns = [
        *suite_column(lines),
        Column(key="rank", title="rank"),
        Column(key="method", title="method"),
        Column(key="kind", title="kind"),
        AGGREGATE,
        *scenario_columns(scenarios),
        PASSED,
    ]
    return Made(columns, rows, [*notes, *board_notes(lines), *noise, *_close(lines, score, runs)])


def _places(lines: Sequence[Group], score: Score) -> tuple[dict[Group, int], dict[Group, tuple[int, int]]]:
    """Ranks and their intervals, per suite, among the agents that may have one."""
    places: dict[Group, int] = {}
    spans: dict[Group, tuple[int, int]] = {}
    for suite in dict.fromkeys(line.suite for line in lines):
        ranked = {line: line.scores(score) for line in _rankable(lines, suite)}
        places |= statistics.ranks({line: statistics.aggregate(cells) for line, cells in ranked.items()})
        spans |= statistics.rank_intervals(ranked)
    return places, spans


def _rankable(lines: Sequence[Group], suite: str) -> list[Group]:
    return [line for line in lines if line.suite == suite and line.kind is Kind.AGENT and line.ranked]


def _place(place: int | None, span: tuple[int, int] | None) -> Value:
    low, high = span or (None, None)
    return Value(value=place, low=low, high=high)


def _cells(line: Group, scenarios: Sequence[ScenarioName], score: Score) -> dict[str, Value]:
    return {s.value: line.cell(s, score) for s in scenarios}


def noise(runs: Runs) -> dict[tuple[str, str], statistics.Floor]:
    """The A/A noise floor by suite and scenario, from repeats of runs that are there with their first."""
    groups_of: dict[tuple[str, str], dict[str, list[float]]] = {}
    for run in (*runs.runs, *runs.repeats):
        result = run.result
        if result.outcome is not Outcome.PASSED or not result.metric.value:
            continue
        same = run.id.rsplit("/", 1)[0] if result.repeat else run.id
        there = groups_of.setdefault((result.suite, result.scenario), {})
        there.setdefault(same, []).append(result.metric.value)
    floors = {key: statistics.noise_floor(list(found.values())) for key, found in groups_of.items()}
    return {key: floor for key, floor in floors.items() if floor is not None}


def noise_note(runs: Runs) -> list[str]:
    """One line per suite and scenario with repeats."""
    return [
        f"noise floor of {suite}/{scenario}: two runs of the same thing differ by less than {floor.factor:.3f}x "
        f"(95 %, from {floor.repeats} repeats)"
        for (suite, scenario), floor in sorted(noise(runs).items())
    ]


def _close(lines: Sequence[Group], score: Score, runs: Runs) -> list[str]:
    """Warnings for neighbours on the board whose difference is inside the noise, or may be none."""
    floors = noise(runs)
    found = []
    for suite in dict.fromkeys(line.suite for line in lines):
        floor = max((f.factor for (s, _), f in floors.items() if s == suite), default=None)
        ranked = _rankable(lines, suite)
        for better, worse in pairwise(ranked):
            compared = statistics.paired(better.by_cell(score), worse.by_cell(score))
            if compared is None:
                continue
            what = f"{better.label} before {worse.label}: {compared.ratio:.2f}x over {compared.n} shared cells"
            if compared.inside(floor):
                found.append(f"{what} is inside the noise floor")
            elif compared.p > 0.05:
                found.append(f"{what} may be chance (paired sign-flip p = {compared.p:.2f})")
    return found


def best_of_n(runs: Runs, options: Options) -> Made:
    """Best of n: per scenario the largest score over the seed pairs, then the geometric mean over the scenarios; ranks
    among agents by it and by the main aggregate (paper, Table 16)."""
    kept, notes = contestants(runs.runs, options)
    score = scoring(options.regression)
    lines = [line for line in by_aggregate(groups(kept), score) if line.complete]
    best = {line: statistics.geometric_mean([max(c.values()) for c in line.scores(score)]) for line in lines}
    rows = []
    for suite in dict.fromkeys(line.suite for line in lines):
        own = [line for line in lines if line.suite == suite]
        main_ranks = statistics.ranks({line: statistics.aggregate(line.scores(score)) for line in own})
        best_ranks = statistics.ranks({line: best[line] for line in own})
        for line in sorted(own, key=lambda one: best_ranks[one]):
            rows.append(
                Row(
                    values={
                        "suite": Value(value=suite),
                        "rank": Value(value=best_ranks[line]),
                        "method": Value(value=line.label),
                        "main_rank": Value(value=main_ranks[line]),
                        "main": line.aggregate(score),
                        "best": Value(value=best[line], runs=_bests(line, score)),
                        "n": Value(value=max(len(cell) for cell in line.cells.values())),
                    }
                )
            )
    columns = [
        *suite_column(lines),
        Column(key="rank", title="rank"),
        Column(key="method", title="method"),
        Column(key="main_rank", title="main rank"),
        Column(key="main", title="main", unit="x"),
        Column(key="best", title="best of n", unit="x"),
        Column(key="n", title="n"),
    ]
    return Made(columns, rows, [*notes, *uneven(lines)])


def _bests(line: Group, score: Score) -> tuple[str, ...]:
    """The run of each scenario that counts."""
    return ids(
        max((r for r in runs if r.result.outcome.scored), key=score)
        for runs in line.cells.values()
        if any(r.result.outcome.scored for r in runs)
    )


UNITS = {
    Metric.TTFT: ("TTFT", "ms", 1e3),
    Metric.TPOT: ("TPOT", "ms", 1e3),
    Metric.REQUESTS_PER_S: ("", "req/s", 1.0),
    Metric.BALANCED: ("score", "", 1.0),
}
"""Name beside the scenario's own, unit, and units per SI unit."""


def native(runs: Runs, options: Options) -> Made:
    """Primary metric in its own unit, as measured: mean ± SEM over the runs that passed; a hole where none did (all
    seeds penalised). The paper's Table 11 is worked out from penalised means instead; native units compare across
    baselines."""
    kept, notes = in_condition(runs.runs, options)
    lines = by_aggregate(groups(kept), scoring(options.regression))
    scenarios = scenarios_of(lines)
    metrics: dict[ScenarioName, Metric] = {}
    rows = []
    for line in lines:
        values = {"suite": Value(value=line.suite), "method": Value(value=line.label)}
        for scenario in scenarios:
            good = [r for r in line.cells.get(scenario, ()) if r.result.outcome is Outcome.PASSED]
            for run in good:
                metrics[scenario] = run.result.metric.name
            factor = UNITS[metrics[scenario]][2] if good else 1.0
            found = statistics.mean_sem([r.result.metric.value * factor for r in good if r.result.metric.value])
            if found is not None:
                values[scenario.value] = Value(value=found.mean, sem=found.sem, runs=ids(good))
        rows.append(Row(values=values))
    columns = [*suite_column(lines), Column(key="method", title="method")]
    for column, scenario in zip(scenario_columns(scenarios, digits=3), scenarios, strict=True):
        name, unit, _ = UNITS[metrics[scenario]] if scenario in metrics else ("", "", 1.0)
        columns.append(column.model_copy(update={"title": f"{column.title} {name}".strip(), "unit": unit}))
    return Made(columns, rows, [*notes, *uneven(lines)])


def grid(runs: Runs, options: Options) -> Made:
    """Searches by optimizer and engine: cells and aggregate as in `main`; the engine is the one the search was
    given."""
    kept, notes = in_condition([run for run in runs.runs if run.kind is Kind.SEARCH], options)
    score = scoring(options.regression)
    lines = groups(kept)
    scenarios = scenarios_of(lines)
    rows = []
    for line in sorted(lines, key=lambda one: (one.suite, *optimizer_and_engine(one.agent))):
        optimizer, engine = optimizer_and_engine(line.agent)
        head = {
            "suite": Value(value=line.suite),
            "optimizer": Value(value=optimizer),
            "engine": Value(value=engine),
            "aggregate": line.aggregate(score),
        }
        rows.append(Row(values=head | _cells(line, scenarios, score)))
    columns = [
        *suite_column(lines),
        Column(key="optimizer", title="optimizer"),
        Column(key="engine", title="engine"),
        AGGREGATE,
        *scenario_columns(scenarios),
    ]
    return Made(columns, rows, [*notes, *uneven(lines)])


def optimizer_and_engine(agent: str) -> tuple[str, str]:
    """`search:tpe?engine=vllm` → tpe, vllm; a blind search says so, and the published protocol."""
    kind, _, rest = agent.partition(":")
    optimizer, _, query = rest.partition("?")
    given = parse_qs(query)
    engine = given.get("engine", ["vllm"])[0]
    if given.get("mode") == ["paper"]:
        return f"{optimizer} (published protocol)", engine
    return f"{optimizer} (blind)" if kind.endswith("blind") else optimizer, engine


def best_search(runs: Runs, score: Score, suite: str) -> dict[ScenarioName, Value]:
    """Per scenario the best cell of any search on a suite."""
    found: dict[ScenarioName, Value] = {}
    for line in groups([r for r in runs.runs if r.kind is Kind.SEARCH and r.result.suite == suite]):
        for scenario, cell in line.cells.items():
            mean = mean_cell(cell, score)
            before = found.get(scenario)
            if mean is not None and (before is None or mean > float(before.value or 0.0)):
                found[scenario] = line.cell(scenario, score)
    return found


def chosen_search(runs: Runs, score: Score, suite: str) -> dict[ScenarioName, Value]:
    """Per scenario the search that is best on the other seed pairs, on each pair in turn: the best of many methods is
    too good on the pairs that chose it. No value for a scenario with a single pair."""
    lines = groups([r for r in runs.runs if r.kind is Kind.SEARCH and r.result.suite == suite])
    found: dict[ScenarioName, Value] = {}
    for scenario in scenarios_of(lines):
        cells = [line.cells[scenario] for line in lines if scenario in line.cells]
        picked: list[Run] = []
        for pair in sorted({run.pair for cell in cells for run in cell}):
            here = [[run for run in cell if run.pair == pair and run.result.outcome.scored] for cell in cells]
            others = [mean_cell([run for run in cell if run.pair != pair], score) for cell in cells]
            known = [(mean, own) for mean, own in zip(others, here, strict=True) if mean is not None and own]
            if known:
                picked += max(known, key=lambda one: one[0])[1]
        spread = statistics.mean_sem([score(run) for run in picked])
        if spread is not None:
            found[scenario] = Value(value=spread.mean, sem=spread.sem, runs=ids(picked))
    return found


FAMILIES = (
    Family("main", "Speedup over the PyTorch baseline", "Table 2", main),
    Family("best-of-n", "Best of n runs per cell", "Table 16", best_of_n),
    Family("native", "Native units of the runs that passed", "Table 11", native),
    Family("grid", "Optimizer × engine", "Table 19", grid),
)
