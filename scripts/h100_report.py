"""From the records of scripts/h100.py to what the repository keeps, and to docs/h100.md.

h100_report.py keep UNPACKED results      compact records: results/h100-2026 and results/h100-2026-gate
h100_report.py page results > docs/h100.md
"""

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

from h100_gate import answers, derived, faults, judged, margins, zoo
from h100_plan import DEFAULT, HAND, SEARCH
from h100_records import GATE, NAME, Run, keep, runs_in, table

from inferencebench.analysis.published import published
from inferencebench.engines.recognition import of_submission
from inferencebench.files import read_jsonl
from inferencebench.gates.integrity import rooflines
from inferencebench.gates.quality import Answer, agreement
from inferencebench.load.store import read_samples
from inferencebench.run.record import Result
from inferencebench.suites.model import Metric, ScenarioName, Suite

UNITS = {
    Metric.TTFT: ("ms", 1e3),
    Metric.TPOT: ("ms", 1e3),
    Metric.REQUESTS_PER_S: ("req/s", 1.0),
    Metric.BALANCED: ("", 1.0),
}
PAPER = {"prefill": "A_ttft_ms", "decode": "B_tpot_ms", "throughput": "C_req_s", "balanced": "D_score"}
HEAD = ["", "A TTFT", "B TPOT", "C rate", "D score"]
PAPER_ROWS = ("vLLM default", "TPE")
WHAT = {
    "engine:pytorch": "PyTorch, the baseline",
    DEFAULT: "vLLM default",
    HAND: "vLLM by hand: fp8 weights and cache",
    SEARCH: "vLLM by search",
}
"""The agents of the comparison, in the order of the table."""
PRODUCTS = """\
A prompt has {tokens:,.0f} tokens on average. At the {tflops:.0f} TFLOP/s that a large bf16 product reached
behind the wall, its products take about {products} ms of the default's {default} ms; the other {rest} ms
(attention, norms, sampling, scheduling, HTTP) do not get faster with 8-bit weights. Products twice as fast
would leave {best} ms, {gain:.2f}× the default. The goal of {wanted:.2f}× asks for {goal} ms, so for {needed} of
those {half} ms; the search won {won}. Where the others went was not profiled: casting activations to 8 bits,
and products that do not double, are the likely places."""
GOAL, MARGIN = 1.35, 1.03
"""The search's speedup over the default on A and B, and how much slower than the hand-set launch it may be."""


def native(metric: Metric, value: float | None) -> str:
    """A metric with its unit."""
    if value is None:
        return "–"
    unit, factor = UNITS[metric]
    return f"{value * factor:.4g} {unit}".strip()


def cell(found: list[Result]) -> str:
    """Native value and speedup, means over launches; what did not pass says so."""
    values = [result.metric.value for result in found if result.metric.value is not None]
    text = native(found[0].metric.name, fmean(values) if values else None)
    speedups = [result.raw_speedup for result in found if result.raw_speedup is not None]
    if speedups and found[0].agent != "engine:pytorch":
        text += f" ({fmean(speedups):.2f}×)"
    return ", ".join([text, *sorted({r.outcome.value.replace("_", " ") for r in found if r.outcome.value != "passed"})])


def ours(runs: list[Run]) -> list[list[str]]:
    """A row per agent, a cell per scenario."""
    rows = []
    for agent, what in WHAT.items():
        found = [[r.result for r in runs if (r.result.scenario, r.result.agent) == (s, agent)] for s in ScenarioName]
        if any(found):
            rows.append([f"{what} (`{agent}`)", *(cell(results) if results else "not run" for results in found)])
    return rows


def comparison(runs: list[Run]) -> str:
    """Our rows above the paper's."""
    rows = ours(runs)
    paper = published()["tables"]
    base = paper["native"]["pytorch_baseline"]
    units = {"A_ttft_ms": "ms", "B_tpot_ms": "ms", "C_req_s": "req/s", "D_score": ""}
    rows.append(["paper: PyTorch", *(f"{base[key]} {units[key]}".strip() for key in PAPER.values())])
    for name in PAPER_ROWS:
        found = next(line for line in paper["main"]["rows"] if line["method"] == name)
        means = [found[letter]["mean"] for letter in "ABCD"]
        natives = [
            f"{base[key] / mean if key[0] in 'AB' else base[key] * mean:.3g} {units[key]}".strip()
            for key, mean in zip(PAPER.values(), means, strict=True)
        ]
        pairs = zip(natives, means, strict=True)
        rows.append([f"paper: {name}", *(f"≈ {value} ({mean:.2f}×)" for value, mean in pairs)])
    return table(HEAD, rows)


def goals(runs: list[Run]) -> str:
    """The search beside the hand-set launch and the default, by the means of all launches."""
    rows = []
    for scenario in ScenarioName:
        own = [launches_of(runs, scenario, agent) for agent in (DEFAULT, HAND, SEARCH)]
        if not all(own):
            rows.append([scenario.value, *["–"] * 4, "not run"])
            continue
        lower = own[0][0].result.metric.name.lower_is_better
        ahead = mean(own[1]) / mean(own[2]) if lower else mean(own[2]) / mean(own[1])
        verdict = "non-inferior" if ahead >= 1 / MARGIN else "**inferior**"
        pooled = [configuration(runs, scenario, agent) for agent in (HAND, SEARCH)]
        if pooled[0] == pooled[1]:
            verdict = "the same settings"
        hand_gain, gain = (mean(own[0]) / mean(p) if lower else mean(p) / mean(own[0]) for p in pooled)
        wanted = GOAL if scenario in (ScenarioName.PREFILL, ScenarioName.DECODE) else None
        said = "no goal" if wanted is None else f"goal {wanted:.2f}×: {'met' if gain >= wanted else 'missed'}"
        counts = "/".join(str(len(of_agent)) for of_agent in own)
        rows.append([scenario.value, counts, f"{hand_gain:.3f}×", f"{gain:.3f}×", f"{ahead:.3f}×, {verdict}", said])
    head = ["scenario", "launches: default/hand/search", "hand over default", "search over default",
            "search over hand", "search over default, wanted"]  # fmt: skip
    return table(head, rows)


def launches_of(runs: list[Run], scenario: ScenarioName, agent: str) -> list[Run]:
    """Measured runs of an agent, repeats among them."""
    return [r for r in runs if (r.result.scenario, r.result.agent) == (scenario, agent) and r.result.metric.value]


def configuration(runs: list[Run], scenario: ScenarioName, agent: str) -> list[Run]:
    """The launches of what an agent chose. Where the search and the hand-set launch start one engine with the same
    settings, those of both."""
    own, hand, search = (launches_of(runs, scenario, name) for name in (agent, HAND, SEARCH))
    settings = [of_submission(run.directory / "freeze" / "submission") for run in (*hand, *search)]
    alike = hand and search and all(found and found.engine and found == settings[0] for found in settings)
    return [*hand, *search] if alike and agent in (HAND, SEARCH) else own


def mean(runs: list[Run]) -> float:
    """Of the runs' values, native."""
    return fmean(run.result.metric.value or 0.0 for run in runs)


def products(runs: list[Run], suite: Suite, inside: str) -> str:
    """What 8-bit products alone could win of a first token, at the rate that the wall's probe saw for bf16."""
    try:
        rate = float(json.loads(inside)["bf16_tflops"]) * 1e12
    except (ValueError, KeyError):
        return "The rate of products was not measured."
    alike = {agent: configuration(runs, ScenarioName.PREFILL, agent) for agent in (DEFAULT, SEARCH)}
    if not all(alike.values()):
        return "Without the default and the search on A nothing can be said."
    tokens = fmean(s.prompt_tokens for s in read_samples(alike[SEARCH][0].directory / "measure" / "launch-0").requests)
    linear = rooflines.linear_flops(suite.model, tokens) / rate
    default, half = mean(alike[DEFAULT]), linear / 2
    ms = {
        "products": linear, "default": default, "rest": default - linear, "best": default - half, "half": half,
        "goal": default / GOAL, "needed": default - default / GOAL, "won": default - mean(alike[SEARCH]),
    }  # fmt: skip
    said = {name: f"{value * 1e3:.0f}" for name, value in ms.items()}
    text = PRODUCTS.format(tokens=tokens, tflops=rate / 1e12, gain=default / (default - half), wanted=GOAL, **said)
    return textwrap.fill(text, 120)


def roofs(runs: list[Run], suite: Suite) -> str:
    """How far the best passed run of A and B is from the card's rates."""
    if not suite.hardware.tflops:
        return "The suite states no peak rates."
    roof, model = rooflines.roof(suite.hardware, None), suite.model
    rows = []
    for scenario in (ScenarioName.PREFILL, ScenarioName.DECODE):
        passed = [r for r in runs if r.result.scenario == scenario and r.result.metric.value]
        for run in sorted(passed, key=lambda r: r.result.metric.value or 0.0):
            tokens = fmean(s.prompt_tokens for s in read_samples(run.directory / "measure" / "launch-0").requests)
            floors = []
            for bits, rate in ((16, roof.flops["bf16"]), (8, roof.flops["fp8"])):
                prefill = rooflines.prefill_flops(model, tokens) / rate
                step = rooflines.decode_step_s(model, roof, bits)
                floors.append(prefill if scenario is ScenarioName.PREFILL else step)
            value = run.result.metric.value or 0.0
            shown = [f"{floor * 1e3:.3g} ms, {value / floor:.2f}×" for floor in floors]
            name = f"`{run.result.agent}`" + (f" repeat {run.result.repeat}" if run.result.repeat else "")
            rows.append([scenario.value, name, native(run.result.metric.name, value), *shown])
    return table(["scenario", "run", "measured", "bf16 floor, distance", "fp8 floor, distance"], rows)


def launches(runs: list[Run]) -> str:
    """Time from the start of the launcher to the first answer."""
    rows = []
    for run in runs:
        launch = run.launch
        if launch is not None and not launch.after:
            caches = "kept" if launch.kept_home else "cold"
            label = f"{run.result.scenario}, {run.result.seed_pair}"
            label += f", repeat {run.result.repeat}" if run.result.repeat else ""
            rows.append([f"`{run.result.agent}`", label, f"{launch.ready_s:.0f} s", caches])
    return table(["agent", "launched for", "ready after", "compile caches"], rows)


def noise(runs: list[Run]) -> str:
    """Repeats of one cell, on launches of their own."""
    rows = []
    cells = sorted({(run.result.scenario, run.result.agent) for run in runs if run.result.repeat})
    for scenario, agent in cells:
        same = [r.result for r in runs if (r.result.scenario, r.result.agent) == (scenario, agent)]
        values = [result.metric.value for result in same if result.metric.value]
        spread = max(values) / min(values) - 1
        shown = ", ".join(native(same[0].metric.name, value) for value in values)
        rows.append([scenario, f"`{agent}`", shown, f"{spread:.1%}"])
    return table(["scenario", "agent", "launches", "largest over smallest"], rows) if rows else "No cell was repeated."


def searches(runs: list[Run]) -> str:
    """Every trial of every search."""
    rows = []
    for run in runs:
        path = run.directory / "search-journal.jsonl"
        for line in path.read_text().splitlines() if path.exists() else ():
            entry: dict[str, Any] = json.loads(line)
            reading = entry.get("reading")
            if not reading:
                continue
            settings = ", ".join(f"{k} {v}" for k, v in entry["candidate"]["configuration"].items()) or "default"
            loss, metric = reading.get("loss"), run.result.metric.name
            value = None if not loss else loss if metric.lower_is_better else 1 / loss
            found = native(metric, value) if value else f"{reading['status']}: {reading.get('reason', '')[:60]}"
            rows.append([run.result.scenario, entry["kind"], settings, found, f"{reading['launch_s']:.0f} s"])
    return table(["scenario", "trial", "settings", "dev requests", "launch"], rows) if rows else "No search was run."


def agreements(runs: list[Run]) -> str:
    """On random weights: of each agent, every value that its launches had, and what unrelated texts agree by."""
    seen: dict[str, dict[str, str]] = {}
    for run in runs:
        quality = run.result.quality
        if quality and quality.agreement is not None:
            found = [Answer.model_validate(row) for row in read_jsonl(run.directory / "quality" / "answers.jsonl")]
            moved = [
                a.model_copy(update={"question_id": b.question_id})
                for a, b in zip(found, [*found[1:], found[0]], strict=True)
            ]
            seen.setdefault(run.result.agent, {})[f"{quality.agreement:.3f}"] = f"{agreement(found, moved):.3f}"
    rows = [[f"`{agent}`", ", ".join(seen[agent]), ", ".join(seen[agent].values())] for agent in WHAT if agent in seen]
    return table(["agent", "agreement with the reference", "of its own answers to different questions"], rows)


def page(results: Path) -> str:
    """docs/h100.md."""
    everything = runs_in(results / NAME)
    searched = {run.result.seed_pair for run in everything if run.result.agent == SEARCH}
    # Prompts of another seed pair are others: no mean is taken over both.
    runs = [run for run in everything if run.result.seed_pair in searched]
    others = [run for run in everything if run.result.seed_pair not in searched]
    spec = json.loads((runs[0].directory / "spec.json").read_bytes())
    suite = Suite.model_validate(spec["suite"])
    machine = json.loads((runs[0].directory / "measure" / "machine.json").read_bytes())["hardware"]
    wall = results / GATE / "machine" / "wall.log"
    inside = wall.read_text().strip().splitlines()[-1] if wall.exists() else "not recorded"
    rows = judged(results)
    parts: dict[str, Callable[[], str]] = {
        "COMPARISON": lambda: comparison(runs), "SECOND": lambda: table(HEAD, ours(others)),
        "GOALS": lambda: goals(runs), "PRODUCTS": lambda: products(runs, suite, inside),
        "ROOFS": lambda: roofs(runs, suite), "LAUNCHES": lambda: launches(everything), "NOISE": lambda: noise(runs),
        "SEARCHES": lambda: searches(runs), "AGREEMENT": lambda: agreements(everything), "ZOO": lambda: zoo(rows),
        "ANSWERS": lambda: answers(results), "DERIVED": lambda: derived(results), "MARGINS": lambda: margins(results),
        "FAULTS": lambda: faults(results), "WALL": lambda: f"```json\n{inside}\n```", "SUITE": lambda: suite.name,
        "MACHINE": lambda: ", ".join([*(g["name"] for g in machine["gpus"]), machine["cpu_model"], machine["kernel"]]),
    }  # fmt: skip
    text = (Path(__file__).parent / "h100_page.md").read_text()
    for name, make in parts.items():
        text = text.replace(f"@{name}@", make())
    return text


def main() -> int:
    """The verbs."""
    verb, *rest = sys.argv[1:]
    if verb == "keep":
        keep(Path(rest[0]), Path(rest[1]))
    else:
        sys.stdout.write(page(Path(rest[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
