"""Run directories whose cells have the published means and errors: what the tables are held against.

Nothing here was measured. A run is `result.json`, `spec.json` and, where a table needs it, the session's record.
"""

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import fmean, median
from typing import Any

from inferencebench.analysis.published import table
from inferencebench.analysis.runs import run_id
from inferencebench.analysis.statistics import bucket, fractional_quartiles
from inferencebench.gates.quality import QualityResult
from inferencebench.run.record import BaselineRef, BestSeen, Cost, MetricValue, Outcome, Provenance, Result
from inferencebench.run.spec import Condition, RunSpec
from inferencebench.suites.load import load
from inferencebench.suites.model import Metric, ScenarioName, SeedPair, Suite
from tests.analysis.triples import Line, Published, Solution, choose, solve, spread

SUITE = "h100-mistral-7b"
PAIRS = tuple(SeedPair(dev=dev, eval=eval_) for dev, eval_ in ((21, 1337), (248, 428), (999, 777)))
LETTERS = dict(zip("ABCD", ScenarioName, strict=True))
NATIVE = {"A": (Metric.TTFT, 0.840), "B": (Metric.TPOT, 0.041), "C": (Metric.REQUESTS_PER_S, 0.132),
          "D": (Metric.BALANCED, 1.68)}  # fmt: skip
"""Metric and the published baseline of each scenario."""
ROWS = {"vLLM default": "engine:vllm", "SGLang default": "engine:sglang", "HF TGI default": "engine:tgi",
        "PyTorch baseline": "engine:pytorch", "SMAC": "search:smac?engine=vllm", "TPE": "search:tpe?engine=vllm",
        "Best Random": "search:random?engine=vllm"}  # fmt: skip
SCAFFOLDS = {"Claude Code": "claude-code", "Codex CLI": "codex", "OpenCode": "opencode"}
QUESTIONS, BASELINE_CORRECT = 500, 128
FAILED = (Outcome.QUALITY_FAILED, Outcome.INTEGRITY_FLAGGED, Outcome.SERVER_FAILED)

NOT_DERIVABLE = frozenset(
    {"Gemini 3.1 Pro", "GPT-5.2", "GPT-5.1 Codex Max", "Claude Opus 4.5", "Claude Opus 4.7", "GPT-5.2 Codex"}
)
"""Lines whose published aggregate SEM no three scores per cell give (settled point 24: six of them)."""


@dataclass(frozen=True)
class Fake:
    """One run to write."""

    agent: str
    letter: str
    seed: int
    score: float
    outcome: Outcome = Outcome.PASSED
    condition: str = "default"
    suite: str = SUITE
    correct: int = BASELINE_CORRECT
    api_usd: float | None = None
    seen: float | None = None
    """Speedup of the best evaluation of the session."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Other fields of the result."""


@cache
def the_suite(name: str) -> Suite:
    """A built-in suite, read once."""
    return load(name)


def agent_name(method: str) -> str:
    """A full name for a published display name."""
    if method in ROWS:
        return ROWS[method]
    scaffold = next(r["kind_or_scaffold"] for r in table("main")["rows"] if r["method"] == method)
    return f"{SCAFFOLDS[scaffold]}:{method.lower().replace(' (', '?effort=').replace(')', '').replace(' ', '-')}"


def result_of(fake: Fake) -> Result:
    """The record of a run with this score."""
    metric, base = NATIVE[fake.letter]
    served = fake.outcome is not Outcome.SERVER_FAILED
    passed = fake.outcome is Outcome.PASSED
    value = (base / fake.score if metric.lower_is_better else base * fake.score) if served else None
    best = None
    if fake.seen is not None:
        seen = base / fake.seen if metric.lower_is_better else base * fake.seen
        best = BestSeen(evaluation=1, value=seen, submission_sha256="s", is_final=False)
    sha256 = the_suite(fake.suite).sha256
    found = Result(
        schema_version=1,
        suite=fake.suite,
        scenario=LETTERS[fake.letter],
        agent=fake.agent,
        condition=fake.condition,
        seed_pair=PAIRS[fake.seed],
        repeat=0,
        outcome=fake.outcome,
        reason="made up",
        ranked=True,
        speedup=max(1.0, fake.score) if passed else 1.0,
        raw_speedup=fake.score if served else None,
        raw_speedup_ci95=None,
        metric=MetricValue(name=metric, value=value, baseline=base),
        measurement=None,
        quality=quality(fake.correct, fake.outcome) if served else None,
        integrity=None,
        best_seen=best,
        baseline=BaselineRef(key="k", sha256="b", directory="d"),
        cost=Cost(solve_s=7200, measure_s=600, quality_s=60, total_s=7860, api_usd=fake.api_usd),
        provenance=Provenance(
            inferencebench="0", measurement_version=1, suite_sha256=sha256, requests_sha256="", questions_sha256="",
            salt_sha256="", submission_sha256="", checkpoint_sha256="", hardware_sha256="", server_cpus=(0,),
            client_cpus=(1,), sandbox="bubblewrap", sandbox_verified=True, share_device=False, software={},
        ),
    )  # fmt: skip
    return found.model_copy(update=fake.extra)


def quality(correct: int, outcome: Outcome) -> QualityResult:
    """A verdict by counts alone."""
    incomplete = outcome is Outcome.QUALITY_INCOMPLETE
    passes = correct >= 0.95 * BASELINE_CORRECT
    return QualityResult(
        correct=correct, answered=QUESTIONS - 100 * incomplete, total=QUESTIONS, accuracy=correct / QUESTIONS,
        accuracy_low=0, accuracy_high=1, baseline_correct=BASELINE_CORRECT,
        baseline_accuracy=BASELINE_CORRECT / QUESTIONS, ratio=correct / BASELINE_CORRECT, tau=0.95, min_answered=1.0,
        passed=None if incomplete else passes, incomplete=incomplete, lost=None, gained=None, mcnemar_p=None,
        below_tau_p=None,
    )  # fmt: skip


def write(out: Path, fakes: Sequence[Fake]) -> list[Path]:
    """Their run directories."""
    folders = []
    for fake in fakes:
        found = result_of(fake)
        folder = out / run_id(found)
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(found.model_dump_json())
        spec = RunSpec.create(
            the_suite(fake.suite), scenario=LETTERS[fake.letter], agent=fake.agent, agent_sha256="",
            condition=Condition(), seed_pair=PAIRS[fake.seed], sandbox="bubblewrap",
        )  # fmt: skip
        (folder / "spec.json").write_text(spec.model_dump_json())
        folders.append(folder)
    return folders


def line_of(row: dict[str, Any], best: float | None = None) -> Line:
    """A published row as a line to solve."""
    cells = tuple(Published(row[s]["mean"], row[s]["sem"]) for s in "ABCD")
    found = row.get("aggregate")
    if isinstance(found, dict):
        return Line(cells, Published(found["mean"], found["sem"]), best)
    return Line(cells, None if found is None else Published(found, float("nan")), best)


def fakes_of(agent: str, solution: Solution, **more: Any) -> Iterator[Fake]:
    """The runs of a solved line; those at exactly 1.0 failed, unless it is an engine's own default."""
    number = 0
    for letter, scores in zip("ABCD", solution.scores, strict=True):
        for seed, score in enumerate(scores):
            outcome = Outcome.PASSED
            if score == 1.0 and solution.failed:
                outcome = FAILED[number % 3]
                number += 1
            correct = 40 if outcome is Outcome.QUALITY_FAILED else BASELINE_CORRECT
            yield Fake(agent, letter, seed, score, outcome, correct=correct, **more)


def main_runs() -> list[Fake]:
    """All lines of the main table, with costs."""
    spent = {row["agent"]: row for row in table("cost-per-speedup")["rows"]}
    totals = {row["agent"]: row["total"] for row in table("cost")["rows"]}
    fakes: list[Fake] = []
    for row in table("main")["rows"]:
        method = row["method"]
        agent = row["rank"] is not None
        options = solve(line_of(row), failures=agent, use_sem=method not in NOT_DERIVABLE)
        runs = list(fakes_of(agent_name(method), min(options.values(), key=lambda s: s.error)))
        fakes += _with_costs(runs, spent[method], totals[method]) if agent else runs
    return fakes


def _with_costs(runs: list[Fake], per_x: dict[str, float | None], total: float) -> list[Fake]:
    """API costs such that each cell costs what was published per x times its mean, and all of them the total: cells
    without a published figure share the rest."""
    cells = {letter: [run for run in runs if run.letter == letter] for letter in "ABCD"}
    means = {letter: sum(r.score for r in cell) / 3 for letter, cell in cells.items()}
    gpu = 3 * 2 * 1.99
    api = {s: per * means[s] - gpu for s in "ABCD" if (per := per_x[s]) is not None}
    rest = total - 4 * gpu - sum(api.values())
    open_cells = [s for s in "ABCD" if s not in api]
    for letter in open_cells:
        api[letter] = rest / len(open_cells)
    if not open_cells:
        api["A"] += rest  # cents of rounding
    return [_replace(run, api_usd=api[run.letter] / 3) for run in runs]


def _replace(fake: Fake, **changes: Any) -> Fake:
    return Fake(**{**fake.__dict__, **changes})


def best_of_runs() -> list[Fake]:
    """Agents' lines with the published best of three instead of the aggregate's error."""
    best = {row["agent"]: row["bon_aggregate"] for row in table("best-of-n")["rows"]}
    fakes: list[Fake] = []
    for row in (r for r in table("main")["rows"] if r["rank"] is not None):
        options = solve(line_of(row, best[row["method"]]), failures=True, use_sem=False)
        fakes += fakes_of(agent_name(row["method"]), min(options.values(), key=lambda s: s.error))
    return fakes


def ablation_line(row: dict[str, Any], agent: str, condition: str, suite: str = SUITE) -> list[Fake]:
    """A row of an ablation: cells, and as many passed runs as published."""
    options = solve(line_of(row), failures=True, use_sem=False)
    wanted = row["pass"]["total"] - row["pass"]["passed"]
    count = min(options, key=lambda failed: abs(failed - wanted))
    return list(fakes_of(agent, choose([options], count, 1.0)[0], condition=condition, suite=suite))


def gates_runs() -> list[Fake]:
    """180 agents' runs with the published cell means and outcomes: 117 passed, 23 below the threshold by far, 11 not
    completed, 11 flagged, 18 without a server. One that passed has 122 of the baseline's 128, which 0.97 asks more
    of."""
    lines = [row for row in table("main")["rows"] if row["rank"] is not None]
    means = {row["method"]: [row[s]["mean"] for s in "ABCD"] for row in lines}
    failed = {method: 3 * sum(m == 1 for m in own) for method, own in means.items()}
    wanted = table("outcomes")["not_passing_total"]
    while sum(failed.values()) < wanted:
        method = min(failed, key=lambda one: failed[one] if one not in _FEW else 99)
        failed[method] += 1
    left = [outcome for outcome, count in _OUTCOMES for _ in range(count)]
    fakes = []
    for method, own in means.items():
        for letter, scores in zip("ABCD", spread(own, failed[method]), strict=True):
            for seed, score in enumerate(scores):
                outcome = left.pop() if score == 1.0 else Outcome.PASSED
                correct = 40 if outcome is Outcome.QUALITY_FAILED else BASELINE_CORRECT
                if (method, letter, seed) == ("GLM-5", "A", 0):
                    correct = 122
                fakes.append(Fake(agent_name(method), letter, seed, score, outcome, correct=correct))
    return fakes


_OUTCOMES = (
    (Outcome.QUALITY_FAILED, 23), (Outcome.QUALITY_INCOMPLETE, 11), (Outcome.INTEGRITY_FLAGGED, 11),
    (Outcome.SERVER_FAILED, 18),
)  # fmt: skip
_FEW = ("GLM-5", "Claude Haiku 4.5")
"""Lines that get no further failed run: one that the threshold moves, one with a cell below 1."""


def seen_runs() -> list[Fake]:
    """Agents' lines with what they saw: the published best-seen aggregate of each, and the published best of each
    scenario, which belongs to the line whose own ratio allows it."""
    seen = {row["agent"]: row for row in table("best-seen-agents")["rows"]}
    top = next(row for row in table("best-seen")["rows"] if row["mode"] == "Per-scenario best-seen agent")
    fakes: list[Fake] = []
    for row in (r for r in table("main")["rows"] if r["rank"] is not None):
        means = {s: row[s]["mean"] for s in "ABCD"}
        target = {s: top[s] if _HOLDERS[s] == row["method"] else means[s] for s in "ABCD"}
        # Not seen.ratio, which is rounded: the aggregate's fourth power is the product of the cells.
        gain = seen[row["method"]]["best_seen_aggregate"] ** 4 / _product(target.values())
        for letter in sorted("ABCD", key=lambda s: target[s] / top[s]):
            step = min(max(gain, 1.0), 0.97 * top[letter] / target[letter])
            if target[letter] < top[letter] and step > 1:
                target[letter] *= step
                gain /= step
        for letter in "ABCD":
            for seed, score in enumerate(spread([means[letter]], 3 * (means[letter] == 1))[0]):
                outcome = Outcome.PASSED if means[letter] != 1 else Outcome.QUALITY_FAILED
                factor = target[letter] / means[letter]
                fakes.append(Fake(agent_name(row["method"]), letter, seed, score, outcome, seen=score * factor))
    return fakes + grid_runs()


_HOLDERS = {"A": "Claude Opus 4.6", "B": "Claude Sonnet 4.6", "C": "Claude Sonnet 4.6", "D": "Gemini 3.1 Pro"}


def _product(values: Iterable[float]) -> float:
    return math.prod(values)


def grid_runs() -> list[Fake]:
    """Optimizer by engine."""
    fakes: list[Fake] = []
    for row in table("grid")["rows"]:
        name = f"search:{row['optimizer'].lower()}?engine={row['engine'].lower()}"
        options = solve(line_of(row), failures=False, use_sem=False)
        fakes += fakes_of(name, min(options.values(), key=lambda s: s.error))
    return fakes


def budget_runs() -> list[Fake]:
    """Figure 2: every cell of a budget has the aggregate as its mean; the suite's own budget is the default."""
    figure = table("budget")
    fakes = []
    for method, aggregates in figure["series"].items():
        for hours, aggregate in zip(figure["hours"], aggregates, strict=True):
            condition = "default" if hours == 2 else f"budget_s={hours * 3600.0}"
            for letter in "ABCD":
                for seed, score in enumerate(spread([aggregate], 0)[0]):
                    fakes.append(Fake(agent_name(method), letter, seed, score, condition=condition))
    return fakes


def volatility_runs() -> list[Fake]:
    """Fifteen agents whose quartiles move over the seeds as published."""
    fakes = []
    for letter, seeds in standings().items():
        for seed, places in enumerate(seeds):
            for number, score in enumerate(places):
                fakes.append(Fake(f"agent:{number:02d}", letter, seed, score))
    return fakes


def standings() -> dict[str, list[list[float]]]:
    """Per scenario three orders of 15 agents, some tied, with the published ranges of quartiles; found by exchanges."""
    return {row["scenario"]: _standing(row) for row in table("volatility")["rows"]}


def _standing(row: dict[str, Any]) -> list[list[float]]:
    rng = random.Random(5)
    wanted = (row["mean_range"], row["median_range"], row["stable"], row["adjacent"])
    levels = [[float(rng.randint(2, 15)) for _ in range(15)] for _ in range(3)]
    best = _distance(levels, wanted)
    while best > 0:
        seed, agent = rng.randrange(3), rng.randrange(15)
        before = levels[seed][agent]
        levels[seed][agent] = float(rng.randint(2, 15))
        now = _distance(levels, wanted)
        if now <= best or rng.random() < 0.02:
            best = now
        else:
            levels[seed][agent] = before
    return levels


def _distance(levels: list[list[float]], wanted: tuple[float, ...]) -> float:
    """How far from the published row: 0 when every figure rounds to it."""
    quartiles = [fractional_quartiles(dict(enumerate(seed))) for seed in levels]
    ranges = [max(q[i] for q in quartiles) - min(q[i] for q in quartiles) for i in range(15)]
    mean, middle, stable, adjacent = wanted
    off = max(0.0, abs(fmean(ranges) - mean) - 0.0049) + max(0.0, abs(median(ranges) - middle) - 0.0049)
    counts = Counter(map(bucket, ranges))
    return off + abs(counts["stable"] - stable) + abs(counts["adjacent"] - adjacent)
