"""Ablations: the same agent under conditions that differ in one setting, or on suites that differ in model or
hardware."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from inferencebench.analysis import statistics
from inferencebench.analysis.runs import Kind, Runs
from inferencebench.analysis.tables.board import AGGREGATE, PASSED, best_search
from inferencebench.analysis.tables.groups import (
    Group,
    Score,
    groups,
    ids,
    scenario_columns,
    scenarios_of,
    scoring,
    suite_column,
)
from inferencebench.analysis.tables.model import Column, Family, Made, Options, Row, Value
from inferencebench.run.record import Outcome
from inferencebench.suites.model import ScenarioName

VERSUS = Column(key="versus", title="versus default", unit="x")
P = Column(key="p", title="p", digits=3)


def _families(lines: Sequence[Group], setting: str) -> list[list[Group]]:
    """Lines of one agent and suite that differ in `setting` alone, the default first; only where there are two."""
    found: dict[tuple[str, str, str], list[Group]] = {}
    for line in lines:
        rest = "+".join(f"{k}={v}" for k, v in sorted(line.settings.items()) if k != setting)
        found.setdefault((line.suite, line.agent, rest), []).append(line)
    return [sorted(some, key=lambda one: _order(one, setting)) for some in found.values() if len(some) > 1]


def _order(line: Group, setting: str) -> tuple[bool, float, str]:
    value = line.settings.get(setting, "")
    try:
        return bool(value), float(value or 0), value
    except ValueError:
        return bool(value), 0.0, value


def _lines(family: Sequence[Group], scenarios: Sequence[ScenarioName], score: Score, setting: str) -> Iterable[Row]:
    """A row per line with its cells, and its paired difference to the first."""
    first = family[0]
    for line in family:
        compared = None if line is first else statistics.paired(line.by_cell(score), first.by_cell(score))
        values = {
            "suite": Value(value=line.suite),
            "method": Value(value=line.agent),
            "condition": Value(value=line.settings.get(setting, "default")),
            "aggregate": line.aggregate(score),
            "passed": line.passed(),
        }
        if compared is not None:
            span = compared.interval
            values["versus"] = Value(
                value=compared.ratio, low=span.low if span else None, high=span.high if span else None
            )
            values["p"] = Value(value=compared.p)
        yield Row(values=values | {s.value: line.cell(s, score) for s in scenarios})


def _ablation(runs: Runs, options: Options, setting: str, *, search: bool) -> Made:
    score = scoring(options.regression)
    families = _families(groups([r for r in runs.runs if r.kind is Kind.AGENT]), setting)
    lines = [line for family in families for line in family]
    scenarios = scenarios_of(lines)
    rows = [row for family in families for row in _lines(family, scenarios, score, setting)]
    suites = dict.fromkeys(line.suite for line in lines) if search else ()
    for suite in suites:
        if best := best_search(runs, score, suite):
            head = {"suite": Value(value=suite), "method": Value(value="best search per scenario")}
            rows.append(Row(values=head | {s.value: v for s, v in best.items()}))
    columns = [
        *suite_column(lines),
        Column(key="method", title="method"),
        Column(key="condition", title=setting),
        AGGREGATE,
        *scenario_columns(scenarios),
        PASSED,
        VERSUS,
        P,
    ]
    return Made(columns, rows, [] if rows else [f"no agent ran both with and without the setting {setting!r}"])


def structured(runs: Runs, options: Options) -> Made:
    """Prompt conditions of each agent that has more than one: cells as in `main`, how many runs passed, and the paired
    difference to the default prompt over shared scenarios and seeds (ratio, bootstrap interval, sign-flip p)."""
    return _ablation(runs, options, "prompt", search=False)


def warm_start(runs: Runs, options: Options) -> Made:
    """Agents that start from a working server beside the same from an empty workspace, and the best search."""
    return _ablation(runs, options, "start", search=True)


def forced_engine(runs: Runs, options: Options) -> Made:
    """Agents bound to one engine beside the same with a free choice, and the best search per scenario. (The published
    site's "vLLM-only" row is the warm start of the paper's Table 20; here it is what the condition says.)"""
    return _ablation(runs, options, "engine_only", search=True)


def budget(runs: Runs, options: Options) -> Made:
    """Aggregate (as in `main`) against the session's budget, per agent; beside it the shares of runs that passed, that
    the integrity gate flagged, that failed at quality and whose server failed (settled point 24)."""
    score = scoring(options.regression)
    lines = groups([r for r in runs.runs if r.kind in (Kind.AGENT, Kind.SEARCH)])
    families = _families(lines, "budget_s")
    scenarios = scenarios_of([line for family in families for line in family])
    rows = [_budget_row(line, score, scenarios) for family in families for line in family]
    rows.sort(key=lambda r: (str(r.values["suite"].value), str(r.values["method"].value), _number(r.values["hours"])))
    columns = [
        *suite_column([line for family in families for line in family]),
        Column(key="method", title="method"),
        Column(key="hours", title="budget", unit="h"),
        AGGREGATE,
        *scenario_columns(scenarios),
        PASSED,
        *(Column(key=key, title=key.replace("_", " "), unit="%", digits=1) for key, _ in SHARES),
    ]
    return Made(columns, rows, [] if rows else ["no agent ran under more than one budget"])


SHARES: tuple[tuple[str, tuple[Outcome, ...]], ...] = (
    ("flagged", (Outcome.INTEGRITY_FLAGGED,)),
    ("quality_failed", (Outcome.QUALITY_FAILED, Outcome.QUALITY_INCOMPLETE)),
    ("server_failed", (Outcome.SERVER_FAILED,)),
)


def _number(value: Value) -> float:
    return float(value.value or 0.0)


def _budget_row(line: Group, score: Score, scenarios: Sequence[ScenarioName]) -> Row:
    budgets = [run.budget_s for run in line.runs if run.budget_s is not None]
    counts = Counter(run.result.outcome for run in line.runs)
    values = {
        "suite": Value(value=line.suite),
        "method": Value(value=line.agent),
        "hours": Value(value=budgets[0] / 3600 if budgets else None),
        "aggregate": line.aggregate(score),
        "passed": line.passed(),
    }
    for key, which in SHARES:
        behind = ids(run for run in line.runs if run.result.outcome in which)
        values[key] = Value(value=100 * sum(counts[o] for o in which) / len(line.runs), runs=behind)
    return Row(values=values | {s.value: line.cell(s, score) for s in scenarios})


def base_model(runs: Runs, options: Options) -> Made:
    """The same agent on suites with different base models, each over its own PyTorch baseline: speedups of different
    rows do not compare with each other."""
    return _suites(runs, options, lambda model, hardware: hardware, "base model", 0)


def hardware(runs: Runs, options: Options) -> Made:
    """The same agent on suites with the same base model on different hardware, each over its own PyTorch baseline:
    speedups of different rows do not compare with each other."""
    return _suites(runs, options, lambda model, hardware: model, "hardware", 1)


def _suites(runs: Runs, options: Options, same: Callable[[str, str], str], title: str, shown: int) -> Made:
    score = scoring(options.regression)
    found: dict[tuple[str, str, str], list[tuple[Group, str]]] = {}
    unread = 0
    places: dict[str, tuple[str, str] | None] = {}
    for line in groups([r for r in runs.runs if r.kind is Kind.AGENT]):
        if line.suite not in places:
            specs = (run.spec for run in line.runs)
            spec = next((s for s in specs if s is not None), None)
            places[line.suite] = (spec.suite.model.id, spec.suite.hardware.name) if spec else None
        place = places[line.suite]
        if place is None:
            unread += 1
            continue
        found.setdefault((line.agent, line.condition, same(*place)), []).append((line, place[shown]))
    families = [some for some in found.values() if len({what for _, what in some}) > 1]
    lines = [line for family in families for line, _ in family]
    scenarios = scenarios_of(lines)
    rows = []
    for line, what in (pair for family in families for pair in family):
        head = {
            "method": Value(value=line.label),
            "what": Value(value=what),
            "suite": Value(value=line.suite),
            "aggregate": line.aggregate(score),
            "passed": line.passed(),
        }
        rows.append(Row(values=head | {s.value: line.cell(s, score) for s in scenarios}))
    columns = [
        Column(key="method", title="method"),
        Column(key="what", title=title),
        Column(key="suite", title="suite"),
        AGGREGATE,
        *scenario_columns(scenarios),
        PASSED,
    ]
    notes = [] if rows else [f"no agent ran on suites that differ in {title} alone"]
    return Made(
        columns, rows, notes + ([f"{unread} lines without a readable spec.json are left out"] if unread else [])
    )


FAMILIES = (
    Family("structured", "Prompt conditions", "Table 5", structured),
    Family("base-model", "Base models", "Table 6", base_model),
    Family("hardware", "Hardware", "Table 18", hardware),
    Family("warm-start", "Starting from a working server", "Table 20", warm_start),
    Family("forced-engine", "Bound to one engine", "Table 21", forced_engine),
    Family("budget", "Time budget", "Figure 2", budget),
)
