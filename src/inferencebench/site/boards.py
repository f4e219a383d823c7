"""From results to boards: what may be compared stands on one board, and every board has its own page state."""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from inferencebench.analysis.comparable import PROVENANCE, Located, comparable
from inferencebench.analysis.leaderboard import board
from inferencebench.analysis.runs import Run as Counted
from inferencebench.analysis.tables.behaviour import has_trajectory
from inferencebench.analysis.tables.groups import board_notes, groups
from inferencebench.errors import UserError
from inferencebench.files import sha256_json
from inferencebench.run.record import Result
from inferencebench.run.spec import BASELINE_AGENT
from inferencebench.site import reading
from inferencebench.site.model import BoardView, BudgetPoint, RunRow, ScenarioFacts
from inferencebench.suites.model import Metric, Scenario, ScenarioName

KINDS = {"engine": "default", "search": "search", "script": "script", "zoo": "red team"}
"""What an agent's name begins with; any other is an agent."""

ID_HEX = 12


class Run(NamedTuple):
    """One run as found."""

    directory: Path
    result: Result
    spec: dict[str, Any]
    """`spec.json`, unchecked; empty where it cannot be read."""


class Boards(NamedTuple):
    """All boards, all runs, and one line for each run that is on none."""

    views: list[BoardView]
    rows: list[RunRow]
    runs: dict[str, Run]
    """By id."""
    notes: list[str]


def kind(agent: str) -> str:
    """`baseline`, `default` (of an engine), `search`, `script`, `red team` or `agent`."""
    return "baseline" if agent == BASELINE_AGENT else KINDS.get(agent.partition(":")[0], "agent")


def run_id(result: Result) -> str:
    """Names a run on the site, the same in every build: a hash of what was run, and in which campaign (its salt)."""
    named = (result.suite, result.scenario, result.agent, result.condition, str(result.seed_pair), result.repeat)
    return sha256_json([*named, result.provenance.salt_sha256, *map(str, _provenance(result))])[:ID_HEX]


def boards(found: Sequence[Located]) -> Boards:
    """Sort results into boards: one per suite, hardware, measurement version and campaign salt."""
    runs: dict[str, Run] = {}
    notes: list[str] = []
    groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for directory, result in found:
        name = run_id(result)
        if name in runs:
            if runs[name].result != result:
                notes.append(f"{directory}: skipped, another run of the same cell is at {runs[name].directory}")
            continue
        runs[name] = Run(directory, result, reading.json_object(directory / "spec.json"))
        groups[result.suite, *_provenance(result), result.provenance.salt_sha256].append(name)
    views, rows = [], []
    for key, names in groups.items():
        identity = sha256_json(list(map(str, key)))[:ID_HEX]
        members = {name: runs[name] for name in names}
        entering, lines = _entering(list(members.values()))
        notes += lines
        views.append(_view(identity, members, entering))
        on_board = {run_id(result) for result in entering}
        rows += [_row(name, identity, run, name in on_board) for name, run in members.items()]
    views.sort(key=lambda v: (v.suite, -len(v.cells_floor), v.id))
    return Boards(_titled(views), rows, runs, notes)


def _provenance(result: Result) -> tuple[Any, ...]:
    return tuple(value(result) for value in PROVENANCE.values())


def _entering(runs: list[Run]) -> tuple[list[Result], list[str]]:
    """The results that enter the board. Where some contradict each other, the first ones count."""
    located = [(run.directory, run.result) for run in runs]
    try:
        return comparable(located), []
    except UserError:
        pass
    kept: dict[str, list[Located]] = defaultdict(list)
    notes = []
    for directory, result in located:
        cell = kept[f"{result.scenario} {result.seed_pair}"]
        try:
            comparable([*cell, (directory, result)])
            cell.append((directory, result))
        except UserError as error:
            notes.append(f"{directory}: not on the board, {error}")
    return comparable([one for cell in kept.values() for one in cell]), notes


def _view(identity: str, members: dict[str, Run], entering: list[Result]) -> BoardView:
    any_run = next(iter(members.values()))
    spec = next((run.spec for run in members.values() if run.spec), {})
    suite = _at(spec, "suite", dict)
    floor, raw = board(entering), board(entering, "raw")
    model, hardware = _at(suite, "model", dict), _at(suite, "hardware", dict)
    budgets = {_cell(r.result): _budget_s(r) for r in members.values()}
    return BoardView(
        id=identity,
        title=any_run.result.suite,
        suite=any_run.result.suite,
        model=str(model.get("id", "")),
        hardware=str(hardware.get("name", "")),
        salt=any_run.result.provenance.salt_sha256[:8],
        scenarios=tuple(_scenarios(suite, {str(c.scenario) for c in floor.cells})),
        conditions=tuple(sorted({r.condition for r in floor.agents}, key=lambda c: (c != "default", c))),
        kinds=tuple(kind(row.agent) for row in floor.agents),
        notes=tuple(board_notes(groups(Counted(members[run_id(one)].directory, one) for one in entering))),
        floor=tuple(floor.agents),
        raw=tuple(raw.agents),
        cells_floor=tuple(floor.cells),
        cells_raw=tuple(raw.cells),
        budgets=tuple(
            BudgetPoint(
                series=_series(row.agent, row.condition),
                budget_s=budget,
                aggregate=row.aggregate,
                aggregate_sem=row.aggregate_sem,
                scenarios=row.scenarios,
            )
            for row in floor.agents
            if (budget := budgets.get((row.agent, row.condition))) is not None and row.aggregate is not None
        ),
    )


def _titled(views: list[BoardView]) -> list[BoardView]:
    """Titles that differ where suites repeat."""
    several = {v.suite for v in views if sum(o.suite == v.suite for o in views) > 1}
    return [
        v.model_copy(update={"title": f"{v.suite} (campaign {v.salt or v.id[:8]})"}) if v.suite in several else v
        for v in views
    ]


def _scenarios(suite: dict[str, Any], present: set[str]) -> list[ScenarioFacts]:
    """The facts of the scenarios that have cells, in the canonical order."""
    given = {}
    for row in _at(suite, "scenarios", list):
        try:
            scenario = Scenario.model_validate_json(_json(row))
            given[scenario.name.value] = scenario
        except (ValidationError, TypeError, ValueError):
            continue
    return [_facts(name.value, given.get(name.value)) for name in ScenarioName if name.value in present]


def _facts(name: str, scenario: Scenario | None) -> ScenarioFacts:
    if scenario is None:
        return ScenarioFacts(
            name=name, title="", metric="", input_tokens=0, output_tokens=0, requests=0, load="", temperature=0.0
        )
    loads = [
        f"{p.arrival} of {p.requests}"
        + (f" at {p.rate_per_s:g} req/s" if p.rate_per_s else "")
        + f", {p.concurrency} at a time"
        for p in scenario.profiles
    ]
    return ScenarioFacts(
        name=name,
        title=scenario.title,
        metric=scenario.metric.value,
        input_tokens=scenario.input_tokens,
        output_tokens=scenario.output_tokens,
        requests=sum(p.requests for p in scenario.profiles),
        load="; ".join(loads),
        temperature=scenario.temperature,
    )


def _row(name: str, identity: str, run: Run, on_board: bool) -> RunRow:
    result = run.result
    return RunRow(
        id=name,
        board=identity,
        suite=result.suite,
        scenario=result.scenario,
        agent=result.agent,
        kind=kind(result.agent),
        condition=result.condition,
        seeds=str(result.seed_pair),
        repeat=result.repeat,
        on_board=on_board,
        outcome=result.outcome.value,
        reason=result.reason,
        ranked=result.ranked,
        trajectory=has_trajectory(run.directory),
        speedup=result.speedup,
        raw_speedup=result.raw_speedup,
        raw_ci95=result.raw_speedup_ci95,
        metric=result.metric.name.value,
        value=result.metric.value,
        baseline=result.metric.baseline,
        found_speedup=_found(result),
        found_is_final=result.best_seen.is_final if result.best_seen else None,
        budget_s=_budget_s(run),
        evaluations=None,
        total_s=result.cost.total_s,
        api_usd=result.cost.api_usd,
    )


def _found(result: Result) -> float | None:
    """Best seen over the baseline's value: two request sets, so an estimate."""
    if result.best_seen is None or not result.metric.baseline or not result.best_seen.value:
        return None
    over = result.best_seen.value / result.metric.baseline
    found = 1 / over if Metric(result.metric.name).lower_is_better else over
    return found if math.isfinite(found) else None


def _budget_s(run: Run) -> float | None:
    """The budget of the run's condition, or its suite's."""
    own = _at(run.spec, "condition", dict).get("budget_s")
    given = own or _at(_at(run.spec, "suite", dict), "limits", dict).get("budget_s")
    return float(given) if isinstance(given, int | float) and not isinstance(given, bool) and given > 0 else None


def _series(agent: str, condition: str) -> str:
    """The agent with its settings other than the budget."""
    others = [part for part in condition.split("+") if part != "default" and not part.startswith("budget_s=")]
    return f"{agent} ({'+'.join(others)})" if others else agent


def _cell(result: Result) -> tuple[str, str]:
    return result.agent, result.condition


def _at(found: dict[str, Any], name: str, kind_of: type[Any]) -> Any:
    value = found.get(name)
    return value if isinstance(value, kind_of) else kind_of()


def _json(value: Any) -> bytes:
    import orjson

    return orjson.dumps(value)
