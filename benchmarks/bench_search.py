"""Searches against a simulated engine: every method under the published protocol and under ours, many seeds.

The real protocol code runs; only the machine and its clock are simulated (`inferencebench.search.simulate` says what
from). Regret is the final configuration's true loss over the optimum's, in per cent; a final that fails the gate counts
as the default. Time to 95 %: when a configuration with 95 % of the optimum's speed and enough accuracy had been tried
(median in minutes; null where most searches never did). The last line is JSON.
"""

import argparse
import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

from inferencebench.search import paper, samplers, simulate
from inferencebench.search.journal import Journal
from inferencebench.search.protocol import Policy, Search
from inferencebench.search.space import Space
from inferencebench.suites.model import ScenarioName

BUDGET_S = 7200.0
DEFAULT_METHOD = "tpe"
SCENARIOS = {"B": ScenarioName.DECODE, "C": ScenarioName.THROUGHPUT}
OURS = ("random", "tpe", "gp", "smac", "blind-tpe")
PUBLISHED = {"paper-random": "random", "paper-tpe": "tpe-paper", "paper-smac": "smac-paper"}
SLOW = {"gp": 6, "smac": 20, "paper-smac": 20}
"""Methods whose own models take seconds per proposal run on fewer seeds; the table says how many."""


class Run(NamedTuple):
    """One search's end."""

    regret: float
    gate_failed: bool
    below_default: bool
    crash_share: float
    trials: int
    to_95_s: float | None


def one(method: str, letter: str, seed: int) -> Run:
    """One search of two simulated hours."""
    scenario = SCENARIOS[letter]
    published = method in PUBLISHED
    machine = simulate.SimulatedMachine(scenario, seed, published=published)
    default = simulate.point(scenario, {})
    if published:
        space = simulate.paper_space()
        found = paper.search("vllm", samplers.make(PUBLISHED[method], space, seed), machine, BUDGET_S)
        candidate, trials = found.candidate, found.trials
        truth = simulate.point(scenario, candidate.configuration) if candidate else default
    else:
        space = simulate.documented_space(presets=not method.startswith("blind-"))
        truth, trials = _ours(method.removeprefix("blind-"), space, scenario, machine, seed)
    failed = machine.accuracy(truth, simulate.FULL_QUESTIONS) < 0.95
    loss = default.loss if failed else truth.loss
    best = simulate.optimum(scenario)
    return Run(
        100 * (loss / best - 1), failed, loss > default.loss * 1.001, machine.crash_s / machine.elapsed_s(), trials,
        machine.reached_s(best / 0.95),
    )  # fmt: skip


def _ours(
    sampler: str, space: Space, scenario: ScenarioName, machine: simulate.SimulatedMachine, seed: int
) -> tuple[simulate.Point, int]:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.jsonl", "simulated")
        made = {"vllm": samplers.make(sampler, space, seed)}
        policy = Policy(budget_s=BUDGET_S, seed=seed)
        outcome = Search({"vllm": space}, made, scenario, machine, policy, journal).run()
    return simulate.point(scenario, outcome.candidate.configuration), outcome.trials


def _median_min(runs: list[Run]) -> float | None:
    """Median time to 95 %; a search that never got there took longer than any."""
    middle = median(float("inf") if r.to_95_s is None else r.to_95_s for r in runs)
    return round(middle / 60, 1) if middle < float("inf") else None


def main() -> int:
    """Run all, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--methods", default=",".join((*PUBLISHED, *OURS)))
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    print(f"{simulate.crash_share():.0%} of {simulate.paper_space().size} configurations do not start")
    methods = options.methods.split(",")
    table: dict[str, dict[str, dict[str, float | None]]] = {}
    with ProcessPoolExecutor(max_workers=2) as pool:
        for method in methods:
            seeds = min(options.seeds, SLOW.get(method, options.seeds))
            table[method] = {}
            for letter in SCENARIOS:
                runs = list(pool.map(one, [method] * seeds, [letter] * seeds, range(seeds)))
                table[method][letter] = {
                    "regret_pct": round(fmean(r.regret for r in runs), 1),
                    "gate_fail_pct": round(100 * fmean(r.gate_failed for r in runs), 1),
                    "below_default_pct": round(100 * fmean(r.below_default for r in runs), 1),
                    "crash_time_pct": round(100 * fmean(r.crash_share for r in runs), 1),
                    "to_95_min": _median_min(runs),
                    "reached_95_pct": round(100 * fmean(r.to_95_s is not None for r in runs), 1),
                    "trials": round(fmean(r.trials for r in runs), 1),
                    "seeds": seeds,
                }
                print(f"{method:14} {letter} {table[method][letter]}", flush=True)
    print(json.dumps({"methods": table, "default": DEFAULT_METHOD}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
