"""From the records of scripts/h100.py to what the repository keeps, and to docs/h100.md.

h100_report.py keep UNPACKED results      compact records: results/h100-2026 and results/h100-2026-gate
h100_report.py page results > docs/h100.md
"""

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from inferencebench.analysis.collect import collect
from inferencebench.analysis.published import published
from inferencebench.gates.integrity import rooflines
from inferencebench.load.store import read_samples
from inferencebench.redteam.model import load
from inferencebench.redteam.zoo import Row, row, said
from inferencebench.run.record import Launch, Result
from inferencebench.suites.model import Metric, ScenarioName, Suite

NAME, GATE = "h100-2026", "h100-2026-gate"
KEPT = (
    "spec.json", "result.json", "events.jsonl", "decisions.jsonl", "search-journal.jsonl", "freeze/manifest.json",
    "freeze/submission/*", "solve/session.json", "solve/search/*.json", "solve/search/*.sh", "measure/*.json",
    "measure/launch-*/*.parquet", "measure/launch-*/telemetry.jsonl", "quality/answers.jsonl",
    "likelihood/likelihood.jsonl", "integrity/integrity.json",
)  # fmt: skip
MACHINE = ("state.jsonl", "logs/wall.log", "logs/prepare-0.log", "logs/prepare-1.log")
UNITS = {
    Metric.TTFT: ("ms", 1e3),
    Metric.TPOT: ("ms", 1e3),
    Metric.REQUESTS_PER_S: ("req/s", 1.0),
    Metric.BALANCED: ("", 1.0),
}
PAPER = {"prefill": "A_ttft_ms", "decode": "B_tpot_ms", "throughput": "C_req_s", "balanced": "D_score"}
PAPER_ROWS = {"engine": "vLLM default", "search": "TPE"}


class Run(NamedTuple):
    """One record."""

    directory: Path
    result: Result

    @property
    def launch(self) -> Launch | None:
        """The measured launch."""
        measured = self.result.measurement
        return measured.launches[0] if measured and measured.launches else None


def keep(source: Path, target: Path) -> None:
    """Copy what is small and says where numbers come from; prompts and workspaces stay out."""
    for runs, out in ((source / "runs", target / NAME), (source / "zoo", target / GATE / "zoo")):
        shutil.rmtree(out, ignore_errors=True)
        for directory, _ in collect([runs]).results if runs.is_dir() else ():
            for pattern in KEPT:
                for path in sorted(directory.glob(pattern)):
                    _copy(path, out / path.relative_to(runs))
            if logs := said(directory):
                (out / directory.relative_to(runs) / "said.txt").write_text("\n".join(logs) + "\n")
    for name in MACHINE:
        if (source / name).exists():
            _copy(source / name, target / GATE / "machine" / Path(name).name)
    if (faults := source / "faults" / "faults.json").exists():
        _copy(faults, target / GATE / "faults.json")


def _copy(path: Path, to: Path) -> None:
    if path.is_file():
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)


def runs_in(folder: Path) -> list[Run]:
    """Finished runs, in the order of their names."""
    return [Run(directory, result) for directory, result in collect([folder]).results] if folder.is_dir() else []


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def native(metric: Metric, value: float | None) -> str:
    """A metric with its unit."""
    if value is None:
        return "–"
    unit, factor = UNITS[metric]
    return f"{value * factor:.4g} {unit}".strip()


def cell(result: Result) -> str:
    """Native value and speedup; what did not pass says so."""
    text = native(result.metric.name, result.metric.value)
    if result.raw_speedup is not None and result.agent != "engine:pytorch":
        text += f" ({result.raw_speedup:.2f}×)"
    return text if result.outcome.value == "passed" else f"{text}, {result.outcome.value.replace('_', ' ')}"


def kind(agent: str) -> str:
    """What a row is."""
    return agent.partition(":")[0]


def comparison(runs: list[Run]) -> str:
    """Our rows above the paper's."""
    first = [run for run in runs if run.result.repeat == 0]
    agents = sorted({run.result.agent for run in first}, key=lambda agent: (agent != "engine:pytorch", agent))
    rows = []
    for agent in agents:
        cells = {run.result.scenario: cell(run.result) for run in first if run.result.agent == agent}
        rows.append([f"`{agent}`", *(cells.get(s.value, "–") for s in ScenarioName)])
    paper = published()["tables"]
    base = paper["native"]["pytorch_baseline"]
    units = {"A_ttft_ms": "ms", "B_tpot_ms": "ms", "C_req_s": "req/s", "D_score": ""}
    rows.append(["paper: PyTorch", *(f"{base[key]} {units[key]}".strip() for key in PAPER.values())])
    for name in PAPER_ROWS.values():
        found = next(line for line in paper["main"]["rows"] if line["method"] == name)
        rows.append([f"paper: {name}", *(f"{found[letter]['mean']:.2f}×" for letter in "ABCD")])
    return table(["", "A TTFT", "B TPOT", "C rate", "D score"], rows)


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
            label = f"{run.result.scenario}" + (f", repeat {run.result.repeat}" if run.result.repeat else "")
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


def judged(results: Path) -> list[Row]:
    """What became of each fixture of the zoo."""
    rows = []
    for run in runs_in(results / GATE / "zoo"):
        if run.result.agent.startswith("zoo:"):
            path = run.directory / "said.txt"
            attempts = path.read_text().splitlines() if path.exists() else []
            rows.append(row(load(run.result.agent.partition(":")[2]), run.result, attempts))
    return sorted(rows, key=lambda r: (r.kind, r.name))


def zoo(rows: list[Row]) -> str:
    """One line per fixture."""
    lines = [
        [r.name, r.kind, r.verdict, ", ".join(r.caught_by) or "–", "yes" if r.as_expected else "**no**", _gain(r)]
        for r in rows
    ]
    return table(["fixture", "", "verdict", "by", "as expected", "raw speedup"], lines) if lines else "Not run."


def _gain(found: Row) -> str:
    return "–" if found.raw_speedup is None else f"{found.raw_speedup:.2f}×"


def margins(results: Path) -> str:
    """A1 and A2 of each fixture."""
    lines = []
    for run in runs_in(results / GATE / "zoo"):
        numbers = {c.name: c for c in (run.result.integrity.checks if run.result.integrity else ()) if c.numbers}
        shown = [
            f"{c.numbers['deficit_nats']:+.3f} ± {c.numbers['standard_error_nats']:.3f}" if c else "–"
            for c in (numbers.get("margins"), numbers.get("opening-margins"))
        ]
        wrong = numbers.get("wrong-answers")
        share = f"{wrong.numbers['same_wrong_share']:.2f}" if wrong else "–"
        lines.append([run.result.agent.partition(":")[2], *shown, share])
    head = ["fixture", "A1 margins, nats a token", "A2 openings, nats a token", "A3 same wrong answers"]
    return table(head, sorted(lines)) if lines else "Not run."


def faults(results: Path) -> str:
    """What went wrong on purpose."""
    path = results / GATE / "faults.json"
    if not path.exists():
        return "Not run."
    lines = []
    for found in json.loads(path.read_text()):
        used = " → ".join("?" if mib is None else f"{mib} MiB" for mib in found["gpu_used_mib"])
        reason = " ".join(str(found["reason"]).split()).replace("|", "/")[:160]
        ended = str(found["outcome"] or f"exit {found['exit']}")
        lines.append([found["fault"], ended, f"{found['seconds']:.0f} s", used, reason])
    return table(["fault", "outcome", "took", "GPU memory before and after", "said"], lines)


def agreements(runs: list[Run]) -> str:
    """The gate of random weights."""
    seen = {}
    for run in runs:
        quality = run.result.quality
        if quality and quality.agreement is not None:
            seen.setdefault((run.result.agent, round(quality.agreement, 3)), run.result.scenario)
    return table(["agent", "agreement"], [[f"`{agent}`", f"{value:.3f}"] for agent, value in sorted(seen)])


def page(results: Path) -> str:
    """docs/h100.md."""
    runs = runs_in(results / NAME)
    spec = json.loads((runs[0].directory / "spec.json").read_bytes())
    suite = Suite.model_validate(spec["suite"])
    machine = json.loads((runs[0].directory / "measure" / "machine.json").read_bytes())["hardware"]
    wall = results / GATE / "machine" / "wall.log"
    inside = wall.read_text().strip().splitlines()[-1] if wall.exists() else "not recorded"
    rows = judged(results)
    parts: dict[str, Callable[[], str]] = {
        "COMPARISON": lambda: comparison(runs), "ROOFS": lambda: roofs(runs, suite), "LAUNCHES": lambda: launches(runs),
        "NOISE": lambda: noise(runs), "SEARCHES": lambda: searches(runs), "ZOO": lambda: zoo(rows),
        "MARGINS": lambda: margins(results), "FAULTS": lambda: faults(results), "AGREEMENT": lambda: agreements(runs),
        "WALL": lambda: f"```json\n{inside}\n```", "SUITE": lambda: suite.name,
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
