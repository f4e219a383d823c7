"""From the records of scripts/h100.py to what the repository keeps, and to docs/h100.md.

h100_report.py keep UNPACKED results      compact records: results/h100-2026 and results/h100-2026-gate
h100_report.py page results > docs/h100.md
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

from h100_gate import answers, derived, faults, judged, margins, zoo
from h100_goals import goals, journal, launches_of, mean, noise, products, settings_of
from h100_plan import DEFAULT, HAND, SEARCH
from h100_records import GATE, NAME, Run, card, keep, native, runs_in, table

from inferencebench.analysis.published import published
from inferencebench.engines.recognition import of_submission
from inferencebench.files import read_jsonl
from inferencebench.gates.integrity import rooflines
from inferencebench.gates.quality import Answer, agreement
from inferencebench.load.store import read_samples
from inferencebench.run.record import Result
from inferencebench.run.spec import RunSpec
from inferencebench.suites.model import ScenarioName, Suite

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


def cell(found: list[Result]) -> str:
    """Native value and speedup, means over launches; what did not pass says so."""
    values = [result.metric.value for result in found if result.metric.value is not None]
    text = native(found[0].metric.name, fmean(values) if values else None)
    speedups = [result.raw_speedup for result in found if result.raw_speedup is not None]
    if speedups and found[0].agent != "engine:pytorch":
        text += f" ({fmean(speedups):#.3g}×)"
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


def loads(runs: list[Run]) -> str:
    """What one launch is measured on, and how many of the requests were in flight, in the default's first run."""
    rows = []
    for run in (r for r in runs if r.result.agent == DEFAULT and not r.result.repeat and r.result.measurement):
        samples = read_samples(run.directory / "measure" / "launch-0").requests
        spec = RunSpec.model_validate_json((run.directory / "spec.json").read_bytes())
        caps = {profile.name: profile.concurrency for profile in spec.the_scenario.profiles}
        for found in run.result.measurement.measurements[0].profiles:
            own = [s for s in samples if s.profile == found.profile]
            prompt, answer = fmean(s.prompt_tokens for s in own), found.output_tokens / found.succeeded
            flying = f"{found.concurrency_mean:.1f}, {found.concurrency_max}, {caps[found.profile]}"
            rows.append(
                [run.result.scenario, found.profile, str(found.requests), f"{prompt:,.0f}", f"{answer:,.0f}", flying]
            )
    rows.sort(key=lambda row: list(ScenarioName).index(ScenarioName(row[0])))
    head = ["scenario", "profile", "requests", "prompt, tokens", "answer, tokens", "in flight: mean, most, allowed"]
    return table(head, rows)


def between(runs: list[Run], others: list[Run]) -> str:
    """How far the two seed pairs are apart, in native values and in speedups."""
    apart: dict[str, list[tuple[float, str]]] = {"native": [], "speedup": []}
    for agent in (DEFAULT, HAND):
        for scenario in ScenarioName:
            first, second = (launches_of(some, scenario, agent) for some in (runs, others))
            if first and second:
                what = f"{WHAT[agent].partition(':')[0]}, {scenario.value}"
                speedups = [fmean(run.result.raw_speedup or 0.0 for run in some) for some in (first, second)]
                for name, pair in (("native", [mean(first), mean(second)]), ("speedup", speedups)):
                    apart[name].append((max(pair) / min(pair) - 1, what))
    worst = {name: max(found) for name, found in apart.items() if found}
    if not worst:
        return "vLLM was not run on both."
    said = {name: f"{share:.0%} ({what})" for name, (share, what) in worst.items()}
    return (
        f"vLLM's native values differ by {said['native']} at most between the pairs, its speedups by {said['speedup']}."
    )


def spent(runs: list[Run]) -> str:
    """Time of the searches."""
    rows = []
    for run in runs:
        if entries := journal(run):
            cost = run.result.cost
            rows.append([run.result.scenario, str(len(entries)), f"{cost.solve_s:.0f} s", f"{cost.total_s:.0f} s"])
    return table(["scenario", "launches", "search", "with the scored run"], rows) if rows else "No search was run."


def engines(runs: list[Run]) -> str:
    """What vLLM's logs say of it."""
    found = [run.directory / "engine.txt" for run in runs if run.result.agent == DEFAULT]
    said = dict.fromkeys(line for path in found if path.exists() for line in path.read_text().splitlines())
    return ", ".join(said) or "not recorded"


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
            found = of_submission(run.directory / "freeze" / "submission")
            precision, bits = ("fp8", 8) if found and found.settings.get("quantization") == "fp8" else ("bf16", 16)
            floor = rooflines.decode_step_s(model, roof, bits)
            if scenario is ScenarioName.PREFILL:
                floor = rooflines.prefill_flops(model, tokens) / roof.flops[precision]
            value = run.result.metric.value or 0.0
            name = f"`{run.result.agent}`" + (f" repeat {run.result.repeat}" if run.result.repeat else "")
            shown = native(run.result.metric.name, value)
            rows.append([scenario.value, name, shown, precision, f"{floor * 1e3:.3g} ms", f"{value / floor:.2f}×"])
    return table(["scenario", "run", "measured", "products and weights", "floor", "distance"], rows)


def launches(runs: list[Run]) -> str:
    """Time from the start of the launcher to the first answer."""
    rows = []
    for run in runs:
        launch = run.launch
        if launch is not None and not launch.after:
            caches = "kept" if launch.kept_home else "cold"
            label = f"{run.result.scenario}, {run.result.seed_pair}"
            label += f", repeat {run.result.repeat}" if run.result.repeat else ""
            rows.append([f"`{run.result.agent}`", label, card(run), f"{launch.ready_s:.0f} s", caches])
    return table(["agent", "launched for", "card", "ready after", "compile caches"], rows)


def searches(runs: list[Run]) -> str:
    """Every trial of every search."""
    rows = []
    for run in runs:
        for entry in journal(run):
            reading = entry["reading"]
            loss, metric = reading.get("loss"), run.result.metric.name
            value = None if not loss else loss if metric.lower_is_better else 1 / loss
            found = native(metric, value) if value else f"{reading['status']}: {reading.get('reason', '')[:60]}"
            tokens = f"{reading['metrics']['tokens_per_step']:.3f}" if reading.get("metrics") else "–"
            launched = f"{reading['launch_s']:.0f} s"
            rows.append([run.result.scenario, entry["kind"], settings_of(entry), found, tokens, launched])
    return (
        table(["scenario", "trial", "settings", "dev requests", "tokens a chunk", "launch"], rows)
        if rows
        else "No search was run."
    )


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
        "LOADS": lambda: loads(runs), "BETWEEN": lambda: between(runs, others), "SPENT": lambda: spent(runs),
        "ENGINE": lambda: engines(runs), "GOALS": lambda: goals(runs),
        "PRODUCTS": lambda: products(runs, suite, inside),
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
