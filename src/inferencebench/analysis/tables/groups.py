"""Runs of one agent under one condition on one suite, and the values that every score table shows of them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from inferencebench.analysis import statistics
from inferencebench.analysis.leaderboard import Regression, counted
from inferencebench.analysis.runs import Kind, Run, kind_of, settings_of
from inferencebench.analysis.tables.model import Column, Options, Value
from inferencebench.run.machine import counted as number_of
from inferencebench.run.record import Outcome
from inferencebench.suites.model import ScenarioName

Score = Callable[[Run], float]

Pairs = dict[ScenarioName, set[str]]
"""Seed pairs by scenario."""

LETTERS = dict(zip(ScenarioName, "ABCD", strict=True))
"""The paper's letters."""


@dataclass(frozen=True, eq=False)
class Group:
    """One line of a board."""

    suite: str
    agent: str
    condition: str
    cells: Mapping[ScenarioName, tuple[Run, ...]]
    """By scenario, in its order; seed pairs in theirs."""
    covered: tuple[ScenarioName, ...]
    """Scenarios of the whole board: a line without one has no aggregate."""

    @property
    def kind(self) -> Kind:
        """Agent, search, engine default or baseline."""
        return kind_of(self.agent)

    @property
    def label(self) -> str:
        """The agent, and its condition where it is not the default."""
        return self.agent if self.condition == "default" else f"{self.agent} ({self.condition})"

    @cached_property
    def settings(self) -> dict[str, str]:
        """The non-default settings of the condition."""
        return settings_of(self.condition)

    @property
    def runs(self) -> list[Run]:
        """All its runs."""
        return [run for runs in self.cells.values() for run in runs]

    @property
    def ranked(self) -> bool:
        """Whether it may have a rank: every scenario is there, and every scored run is ranked."""
        scored = [run for run in self.runs if run.result.outcome.scored]
        return self.complete and all(run.result.ranked for run in scored)

    @property
    def complete(self) -> bool:
        """Whether every scenario of the board has a scored run."""
        return all(any(run.result.outcome.scored for run in self.cells.get(s, ())) for s in self.covered)

    def scores(self, score: Score) -> list[dict[str, float]]:
        """Per scenario the scores of its scored runs, by seed pair."""
        return [{run.pair: score(run) for run in runs if run.result.outcome.scored} for runs in self.cells.values()]

    def by_cell(self, score: Score) -> dict[tuple[ScenarioName, str], float]:
        """Scores by scenario and seed pair: what two lines share."""
        return {(run.scenario, run.pair): score(run) for run in self.runs if run.result.outcome.scored}

    def cell(self, scenario: ScenarioName, score: Score) -> Value:
        """Mean ± SEM of one scenario."""
        runs = [run for run in self.cells.get(scenario, ()) if run.result.outcome.scored]
        found = statistics.mean_sem([score(run) for run in runs])
        return Value(value=None) if found is None else Value(value=found.mean, sem=found.sem, runs=ids(runs))

    def aggregate(self, score: Score) -> Value:
        """Geometric mean of the cell means, its jackknife SEM and bootstrap interval; a hole unless complete."""
        if not self.complete:
            return Value(value=None)
        cells = self.scores(score)
        interval = statistics.bootstrap_interval(cells)
        return Value(
            value=statistics.aggregate(cells),
            sem=statistics.jackknife_sem(cells),
            low=interval.low if interval else None,
            high=interval.high if interval else None,
            runs=ids(run for run in self.runs if run.result.outcome.scored),
        )

    def passed(self) -> Value:
        """How many of its runs passed, as `10/12`."""
        good = [run for run in self.runs if run.result.outcome is Outcome.PASSED]
        return Value(value=f"{len(good)}/{len(self.runs)}", runs=ids(good))


def ids(runs: Iterable[Run]) -> tuple[str, ...]:
    """Their ids."""
    return tuple(run.id for run in runs)


def scoring(regression: Regression) -> Score:
    """What a run adds to its cell's mean."""
    return lambda run: counted(run.result, regression)


def groups(runs: Iterable[Run]) -> list[Group]:
    """The lines of these runs, in order of suite, agent and condition."""
    lines: dict[tuple[str, str, str], dict[ScenarioName, list[Run]]] = defaultdict(lambda: defaultdict(list))
    covered: dict[str, set[ScenarioName]] = defaultdict(set)
    for run in runs:
        result = run.result
        lines[result.suite, result.agent, result.condition][run.scenario].append(run)
        covered[result.suite].add(run.scenario)
    return [
        Group(
            *key,
            cells={s: tuple(sorted(cells[s], key=lambda r: r.pair)) for s in ScenarioName if s in cells},
            covered=tuple(s for s in ScenarioName if s in covered[key[0]]),
        )
        for key, cells in sorted(lines.items())
    ]


def in_condition(runs: Sequence[Run], options: Options) -> tuple[list[Run], list[str]]:
    """The runs under the condition that is asked for, and a note on what that leaves out."""
    if options.condition == "all":
        return list(runs), []
    kept = [run for run in runs if run.result.condition == options.condition]
    others = sorted({run.result.condition for run in runs} - {options.condition})
    left = len(runs) - len(kept)
    how = "is" if left == 1 else "are"
    note = f"{number_of(left, 'run')} under other conditions {how} left out: {', '.join(others)}"
    return kept, [note] if left else []


def uneven(lines: Sequence[Group]) -> list[str]:
    """A note on the lines that lack, in a scenario, a scored seed pair which another line has there: means over other
    requests than their neighbours have. A scenario without any is a hole, and no mean."""
    notes = []
    for suite in dict.fromkeys(line.suite for line in lines):
        pairs = {line: _scored_pairs(line) for line in lines if line.suite == suite}
        cells = [(scenario, own) for by_scenario in pairs.values() for scenario, own in by_scenario.items()]
        there = {scenario: set().union(*(own for s, own in cells if s == scenario)) for scenario, _ in cells}
        short = [f"{line.label} {text}" for line, own in pairs.items() if (text := _short(own, there))]
        if short:
            every = set().union(*there.values())
            shared = every.intersection(*(own for _, own in cells))
            how = "".join(f" --seed-pair {pair.replace('-', ',')}" for pair in sorted(shared))
            remedy = f"compare by{how}" if how else "none is common to all"
            notes.append(f"of the seed pairs {', '.join(sorted(every))}, {'; '.join(short)}: {remedy}")
    return notes


def _scored_pairs(line: Group) -> Pairs:
    found = {s: {run.pair for run in runs if run.result.outcome.scored} for s, runs in line.cells.items()}
    return {scenario: pairs for scenario, pairs in found.items() if pairs}


def _short(own: Pairs, there: Pairs) -> str:
    """`has 21-1337 only`, and where, if not everywhere; empty for a line that has all."""
    where: dict[str, list[str]] = defaultdict(list)
    for scenario, pairs in own.items():
        if pairs != there[scenario]:
            where[", ".join(sorted(pairs))].append(scenario.value)
    if not where:
        return ""
    everywhere = [len(scenarios) for scenarios in where.values()] == [len(own)]
    parts = [f"{pairs} only" + ("" if everywhere else f" in {', '.join(names)}") for pairs, names in where.items()]
    return f"has {' and '.join(parts)}"


def unjudged(runs: Iterable[Run]) -> list[str]:
    """Suites whose quality gate asks for complete answers only: on random weights there is nothing else to judge."""
    found = [run.result for run in runs]
    return list(dict.fromkeys(r.suite for r in found if r.quality and r.quality.agreement is not None))


def unjudged_notes(runs: Iterable[Run]) -> list[str]:
    """One line for each suite on which passing the quality gate says nothing."""
    return [f"quality is not judged in {suite} (random weights)" for suite in unjudged(runs)]


def board_notes(lines: Sequence[Group]) -> list[str]:
    """What must stand under a board of these lines."""
    return [*uneven(lines), *unjudged_notes(run for line in lines for run in line.runs)]


def contestants(runs: Sequence[Run], options: Options) -> tuple[list[Run], list[str]]:
    """The agents' runs under the condition asked for: what the paper counts. Where there is no agent, all but
    baselines."""
    kept, notes = in_condition(runs, options)
    agents = [run for run in kept if run.kind is Kind.AGENT]
    if agents or not kept:
        return agents, notes
    rest = [run for run in kept if run.kind is not Kind.BASELINE]
    return rest, [*notes, "there are no agents among these runs: searches and engine defaults are counted instead"]


def scenarios_of(lines: Iterable[Group]) -> list[ScenarioName]:
    """The scenarios of some lines, in order."""
    there = {scenario for line in lines for scenario in line.covered}
    return [s for s in ScenarioName if s in there]


def scenario_columns(scenarios: Iterable[ScenarioName], unit: str = "x", digits: int = 2) -> list[Column]:
    """One column per scenario, keyed and headed by its name."""
    return [Column(key=s.value, title=f"{LETTERS[s]} {s.value}", unit=unit, digits=digits) for s in scenarios]


def suite_column(lines: Sequence[Group]) -> list[Column]:
    """The suite, where there is more than one."""
    return [Column(key="suite", title="suite")] if len({line.suite for line in lines}) > 1 else []


def by_aggregate(lines: Iterable[Group], score: Score) -> list[Group]:
    """Best first within a suite; lines without an aggregate last."""
    scored = [(line, statistics.aggregate(line.scores(score)) if line.complete else None) for line in lines]
    scored.sort(key=lambda pair: (pair[0].suite, pair[1] is None, -(pair[1] or 0.0), pair[0].label))
    return [line for line, _ in scored]


def mean_cell(runs: Sequence[Run], score: Score) -> float | None:
    """The mean score of scored runs."""
    scored = [score(run) for run in runs if run.result.outcome.scored]
    return fmean(scored) if scored else None
