"""The parts of docs/h100.md that are about the goal: the search beside the default and a hand-set launch, and noise."""

import json
import math
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean, variance
from typing import Any

from h100_plan import DEFAULT, HAND, SEARCH
from h100_records import Run, card, native, table
from scipy.stats import t

from inferencebench.engines.recognition import of_submission
from inferencebench.gates.integrity import rooflines
from inferencebench.load.store import read_samples
from inferencebench.suites.model import ScenarioName, Suite

GOAL, MARGIN = 1.35, 1.03
"""The search's speedup over the default on A and B, and how much slower than the hand-set launch it may be."""
CONFIDENCE = 0.90
"""Two-sided, as is the custom where non-inferiority is shown: 5 % for the side that matters."""
PRODUCTS = """\
A prompt has {tokens:,.0f} tokens on average. At the {tflops:.0f} TFLOP/s that a large bf16 product reached
behind the wall, its products take about {products:.0f} ms of the default's {default:.0f} ms. If the other {rest:.0f} ms
(attention, norms, sampling, scheduling, HTTP) stay as they are, products twice as fast leave {best:.0f} ms,
{gain:.2f}× the default; the goal of {wanted:.2f}× asks for {goal:.1f} ms, {needed:.1f} of those {half:.1f} ms, and the
search won {won:.1f}. Nothing was profiled: casting activations to 8 bits, and products that do not double, are the
likely places of the rest."""


def goals(runs: list[Run]) -> str:
    """Ratios of the means of all launches, of the launches on the search's own card, and the interval of the one that
    compares two configurations."""
    rows = []
    for scenario in ScenarioName:
        own = [launches_of(runs, scenario, agent) for agent in (DEFAULT, HAND, SEARCH)]
        if not all(own):
            rows.append([scenario.value, *["–"] * 5, "not run"])
            continue
        default, hand, search = own
        here = [[run for run in some if card(run) == card(search[0])] for some in own]
        beside = [f"{gain(some, here[2]):.3f}×" if some else "–" for some in here[:2]]
        low, high = interval(runs, scenario, hand, search)
        ratio = gain(hand, search)
        verdict = "non-inferior" if low >= 1 / MARGIN else "**inferior**" if high < 1 / MARGIN else "**not shown**"
        if alike(runs, scenario):
            verdict = "the same settings"
        wanted = GOAL if scenario in (ScenarioName.PREFILL, ScenarioName.DECODE) else None
        met = "no goal" if wanted is None else "met" if gain(default, search) >= wanted else "missed"
        rows.append(
            [
                scenario.value,
                "/".join(str(len(some)) for some in own),
                f"{gain(default, search):.3f}×, {beside[0]}",
                met,
                f"{ratio:.3f}×, {beside[1]}",
                f"{low:.3f} to {high:.3f}",
                verdict,
            ]
        )
    head = [
        "scenario",
        "launches: default/hand/search",
        "search over default: all, one card",
        f"goal {GOAL:.2f}×",
        "search over hand: all, one card",
        f"{CONFIDENCE:.0%} interval",
        f"within {MARGIN - 1:.0%}",
    ]
    return table(head, rows)


def launches_of(runs: list[Run], scenario: ScenarioName, agent: str) -> list[Run]:
    """Measured runs of an agent, repeats among them."""
    return [r for r in runs if (r.result.scenario, r.result.agent) == (scenario, agent) and r.result.metric.value]


def alike(runs: list[Run], scenario: ScenarioName) -> bool:
    """Whether the search and the hand-set launch start one engine with the same settings."""
    chosen = [*launches_of(runs, scenario, HAND), *launches_of(runs, scenario, SEARCH)]
    settings = [of_submission(run.directory / "freeze" / "submission") for run in chosen]
    return bool(settings) and all(found and found.engine and found == settings[0] for found in settings)


def mean(runs: list[Run]) -> float:
    """Of the runs' values, native."""
    return fmean(run.result.metric.value or 0.0 for run in runs)


def gain(before: list[Run], after: list[Run]) -> float:
    """How many times faster `after` is, by the means of both."""
    lower = before[0].result.metric.name.lower_is_better
    return mean(before) / mean(after) if lower else mean(after) / mean(before)


def repeated(runs: list[Run], scenario: ScenarioName) -> dict[str, list[float]]:
    """Native values of configurations that were launched more than once on the same requests: runs with their repeats,
    and trials of the search with their confirmations."""
    found: dict[str, list[float]] = defaultdict(list)
    for agent in (DEFAULT, HAND, SEARCH):
        for run in launches_of(runs, scenario, agent):
            found[f"`{agent}`"].append(run.result.metric.value or 0.0)
            for entry in journal(run):
                if loss := entry["reading"].get("loss"):
                    value = loss if run.result.metric.name.lower_is_better else 1 / loss
                    found[f"search, dev requests: {settings_of(entry)}"].append(value)
    return {name: values for name, values in found.items() if len(values) > 1}


def journal(run: Run) -> list[dict[str, Any]]:
    """The trials of a search that were read, in their order; none for other runs."""
    path = run.directory / "search-journal.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [entry for entry in map(json.loads, lines) if entry.get("reading")]


def settings_of(entry: dict[str, Any]) -> str:
    """What a trial changes."""
    return ", ".join(f"{k} {v}" for k, v in entry["candidate"]["configuration"].items()) or "default"


def interval(
    runs: list[Run], scenario: ScenarioName, before: Sequence[Run], after: Sequence[Run]
) -> tuple[float, float]:
    """Of the ratio of two means over launches: Student's t on logarithms, with the standard deviation of a launch
    pooled over everything that was launched more than once in this scenario. Without repeats it is unbounded."""
    logs = [[math.log(value) for value in values] for values in repeated(runs, scenario).values()]
    degrees = sum(len(values) - 1 for values in logs)
    if not degrees:
        return 0.0, math.inf
    deviation = math.sqrt(sum(variance(values) * (len(values) - 1) for values in logs) / degrees)
    reach = float(t.ppf((1 + CONFIDENCE) / 2, degrees)) * deviation * math.sqrt(1 / len(before) + 1 / len(after))
    ratio = gain(list(before), list(after))
    return ratio * math.exp(-reach), ratio * math.exp(reach)


def noise(runs: list[Run]) -> str:
    """Everything that was launched more than once on the same requests."""
    rows = []
    for scenario in ScenarioName:
        for name, values in repeated(runs, scenario).items():
            metric = launches_of(runs, scenario, SEARCH if name.startswith("search") else name.strip("`"))[
                0
            ].result.metric
            shown = ", ".join(native(metric.name, value) for value in values)
            rows.append([scenario.value, name, shown, f"{max(values) / min(values) - 1:.1%}"])
    return table(["scenario", "what", "launches", "largest over smallest"], rows) if rows else "No cell was repeated."


def products(runs: list[Run], suite: Suite, inside: str) -> str:
    """What 8-bit products alone could win of a first token, at the rate that the wall's probe saw for bf16."""
    try:
        rate = float(json.loads(inside)["bf16_tflops"]) * 1e12
    except (ValueError, KeyError):
        return "The rate of products was not measured."
    default, search = (launches_of(runs, ScenarioName.PREFILL, agent) for agent in (DEFAULT, SEARCH))
    if not (default and search):
        return "Without the default and the search on A nothing can be said."
    tokens = fmean(s.prompt_tokens for s in read_samples(search[0].directory / "measure" / "launch-0").requests)
    linear = rooflines.linear_flops(suite.model, tokens) / rate
    before, half = mean(default), linear / 2
    ms = {
        "products": linear, "default": before, "rest": before - linear, "best": before - half, "half": half,
        "goal": before / GOAL, "needed": before - before / GOAL, "won": before - mean(search),
    }  # fmt: skip
    said = {name: value * 1e3 for name, value in ms.items()}
    text = PRODUCTS.format(tokens=tokens, tflops=rate / 1e12, gain=before / (before - half), wanted=GOAL, **said)
    return textwrap.fill(text, 120)
