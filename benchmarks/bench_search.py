"""Searches against a simulated engine: every method under the published protocol and under ours, many seeds.

The real protocol code runs; only the machine and its clock are simulated (`inferencebench.search.simulate` says what
from). Regret is the final configuration's true loss over the optimum's, in per cent; a final that fails the gate counts
as the default. `to_95_min`: when a configuration with 95 % of the optimum's speed and enough accuracy had been tried
(median in minutes; null where most searches never did). Two more tables: the regret of what a search would have ended
with earlier (anytime), and the best method of ours chosen on half of the seeds and shown on the other half, since the
best of many is too good on the seeds that chose it. The last line is JSON.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

from inferencebench.search import paper, samplers, simulate
from inferencebench.search.journal import Journal
from inferencebench.search.outcome import Outcome
from inferencebench.search.policy import Policy
from inferencebench.search.protocol import Search
from inferencebench.suites.model import ScenarioName

BUDGET_S = 7200.0
DEFAULT_METHOD = "tpe"
SCENARIOS = {"B": ScenarioName.DECODE, "C": ScenarioName.THROUGHPUT}
OURS = ("random", "tpe", "gp", "smac", "blind-tpe")
PUBLISHED = {"paper-random": "random", "paper-tpe": "tpe", "paper-smac": "smac"}
SLOW = {"gp": 6, "smac": 20, "paper-smac": 20}
"""Methods whose own models take seconds per proposal run on fewer seeds; the table says how many."""
ANYTIME_MIN = (15, 30, 60, 90, 120)


class Run(NamedTuple):
    """One search's end."""

    regret: float
    gate_failed: bool
    below_default: bool
    crash_share: float
    trials: int
    to_95_s: float | None
    anytime: tuple[float, ...]
    """Regret of the best so far at ANYTIME_MIN."""


def one(method: str, letter: str, seed: int) -> Run:
    """One search of two simulated hours."""
    scenario = SCENARIOS[letter]
    machine = simulate.SimulatedMachine(scenario, seed, published=method in PUBLISHED)
    with tempfile.TemporaryDirectory() as folder:
        outcome = _search(method, scenario, seed, machine, Journal(Path(folder) / "journal.jsonl", "simulated"))
    best, default = simulate.optimum(scenario), simulate.point(scenario, {})
    truth = simulate.point(scenario, outcome.candidate.configuration)
    failed = machine.accuracy(truth, simulate.FULL_QUESTIONS) < 0.95
    loss = default.loss if failed else truth.loss
    return Run(
        regret=100 * (loss / best - 1),
        gate_failed=failed,
        below_default=loss > default.loss * 1.001,
        crash_share=machine.crash_s / machine.elapsed_s(),
        trials=outcome.trials,
        to_95_s=machine.reached_s(best / 0.95),
        anytime=tuple(100 * (_at(outcome, scenario, 60 * m) / best - 1) for m in ANYTIME_MIN),
    )


def _search(
    method: str, scenario: ScenarioName, seed: int, machine: simulate.SimulatedMachine, journal: Journal
) -> Outcome:
    if method in PUBLISHED:
        space = simulate.paper_space()
        sampler = samplers.make(paper.SAMPLERS[PUBLISHED[method]], space, seed)
        return paper.PaperSearch("vllm", sampler, machine, BUDGET_S, journal).run()
    space = simulate.documented_space(presets=not method.startswith("blind-"))
    made = {"vllm": samplers.make(method.removeprefix("blind-"), space, seed)}
    return Search({"vllm": space}, made, scenario, machine, Policy(budget_s=BUDGET_S, seed=seed), journal).run()


def _at(outcome: Outcome, scenario: ScenarioName, seconds: float) -> float:
    """True loss of the best so far; the default's before there is one, and where accuracy is lost."""
    known = [at.candidate for at in outcome.curve if at.at_s <= seconds]
    truth = simulate.point(scenario, known[-1].configuration if known else {})
    return truth.loss if truth.accuracy >= 0.95 else simulate.point(scenario, {}).loss


def _median_min(runs: Sequence[Run]) -> float | None:
    """Median time to 95 %; a search that never got there took longer than any."""
    middle = median(float("inf") if r.to_95_s is None else r.to_95_s for r in runs)
    return round(middle / 60, 1) if middle < float("inf") else None


def _cell(runs: Sequence[Run]) -> dict[str, float]:
    return {
        "regret_pct": round(fmean(r.regret for r in runs), 1),
        "gate_fail_pct": round(100 * fmean(r.gate_failed for r in runs), 1),
        "below_default_pct": round(100 * fmean(r.below_default for r in runs), 1),
        "crash_time_pct": round(100 * fmean(r.crash_share for r in runs), 1),
    }


def _cross_validated(table: dict[str, dict[str, list[Run]]], letter: str) -> str:
    """The best of our methods on even seeds, and its regret on the odd ones, which did not choose it."""
    ours = {method: cells[letter] for method, cells in table.items() if method not in PUBLISHED}
    best = min(ours, key=lambda method: fmean(r.regret for r in ours[method][::2]))
    chosen, other = fmean(r.regret for r in ours[best][::2]), fmean(r.regret for r in ours[best][1::2])
    return f"best on even seeds, {letter}: {best}, {chosen:.1f} % there and {other:.1f} % on odd seeds"


def main() -> int:
    """Run all, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--methods", default=",".join((*PUBLISHED, *OURS)))
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    print(f"{simulate.crash_share():.0%} of {simulate.paper_space().size} configurations do not start")
    table: dict[str, dict[str, list[Run]]] = {}
    with ProcessPoolExecutor(max_workers=2) as pool:
        for method in options.methods.split(","):
            seeds = min(options.seeds, SLOW.get(method, options.seeds))
            table[method] = {}
            for letter in SCENARIOS:
                runs = list(pool.map(one, [method] * seeds, [letter] * seeds, range(seeds)))
                table[method][letter] = runs
                found = " ".join(f"{name} {value:5.1f}" for name, value in _cell(runs).items())
                trials = fmean(r.trials for r in runs)
                print(f"{method:13} {letter}  {found}  to_95_min {_median_min(runs)}", end="  ")
                print(f"trials {trials:.1f}  seeds {seeds}", flush=True)
    print(f"anytime: regret in % after {', '.join(map(str, ANYTIME_MIN))} min")
    for method, cells in table.items():
        for letter, runs in cells.items():
            means = " ".join(f"{fmean(at):6.1f}" for at in zip(*(r.anytime for r in runs), strict=True))
            print(f"{method:13} {letter}  {means}")
    if options.seeds > 1 and set(table) - set(PUBLISHED):
        for letter in SCENARIOS:
            print(_cross_validated(table, letter))
    methods = {name: {letter: _cell(runs) for letter, runs in cells.items()} for name, cells in table.items()}
    print(json.dumps({"methods": methods, "default": DEFAULT_METHOD}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
