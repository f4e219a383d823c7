"""The parts of docs/h100.md that are about the gate: the zoo on the GPU, its margins and answers, and the faults."""

import json
from pathlib import Path

from h100_records import GATE, runs_in, table

from inferencebench.gates.integrity.calibration import (
    STANDARD_ERRORS,
    Seen,
    Threshold,
    calibration_of,
    derive,
    seen_share,
)
from inferencebench.redteam.calibrate import IMPOSTORS
from inferencebench.redteam.model import load
from inferencebench.redteam.zoo import Row, row


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
        name = run.result.agent.partition(":")[2]
        if name == "pytorch":
            name += f", reference of lane {run.directory.relative_to(results / GATE / 'zoo').parts[0]}"
        lines.append([name, *shown, share])
    head = ["fixture", "A1 margins, nats a token", "A2 openings, nats a token", "A3 same wrong answers"]
    return table(head, sorted(lines)) if lines else "Not run."


def derived(results: Path) -> str:
    """The thresholds that these rows alone would give, beside those in use."""
    seen, model = _seen(results)
    if not seen["margins"]:
        return "Not run."
    used, rows = calibration_of(model), []
    for part, label in (("margins", "A1"), ("opening", "A2"), ("wrong", "A3, share answered otherwise")):
        honest = max((s for s in seen[part] if s.kind == "honest"), key=lambda s: s.nats + STANDARD_ERRORS * s.se)
        cheat = min((s for s in seen[part] if s.kind == "cheat"), key=lambda s: s.nats - STANDARD_ERRORS * s.se)
        ends = f"{honest.nats + STANDARD_ERRORS * honest.se:.2f} ({honest.fixture})"
        begins = f"{cheat.nats - STANDARD_ERRORS * cheat.se:.2f} ({cheat.fixture})"
        rows.append([label, ends, begins, _limit(derive(seen[part])), _limit(getattr(used, part))])
    head = [
        "",
        "honest rows end at",
        "impostors begin at",
        "review, fail above from these",
        "review, fail above in use",
    ]
    return table(head, rows)


def _seen(results: Path) -> tuple[dict[str, list[Seen]], str]:
    """By part of the calibration what its fixtures gave, and the model's id."""
    seen: dict[str, list[Seen]] = {"margins": [], "opening": [], "wrong": []}
    model = ""
    for run in runs_in(results / GATE / "zoo"):
        engine, _, name = run.result.agent.partition(":")
        if engine != "zoo" or run.result.integrity is None:
            continue
        kind, model = load(name).kind, json.loads((run.directory / "spec.json").read_bytes())["suite"]["model"]["id"]
        checks = {c.name: c for c in run.result.integrity.checks if c.numbers}
        for part, name_of_check in (("margins", "margins"), ("opening", "opening-margins"), ("wrong", "wrong-answers")):
            check = checks.get(name_of_check)
            if check is None or (kind == "cheat" and name not in IMPOSTORS[part]):
                continue
            numbers = check.numbers
            if part == "wrong":
                same = round(numbers["same_wrong_share"] * check.sample_size)
                seen[part].append(seen_share(name, kind, same, check.sample_size))
            else:
                nats, error = numbers["deficit_nats"], numbers["standard_error_nats"]
                seen[part].append(Seen(name, kind, nats, error, int(numbers["tokens"])))
    return seen, model


def _limit(found: Threshold) -> str:
    return f"{found.review:.2f}, " + ("never" if found.fail is None else f"{found.fail:.2f}")


def answers(results: Path) -> str:
    """The quality gate of each fixture with real weights that changes the arithmetic."""
    lines = []
    for run in runs_in(results / GATE / "zoo"):
        quality, name = run.result.quality, run.result.agent.partition(":")[2]
        if quality and name.startswith("vllm") and quality.baseline_correct:
            right = f"{quality.correct} / {quality.baseline_correct} of {quality.total}"
            changed = f"{quality.lost} / {quality.gained}"
            passed = "pass" if quality.passed else "fail"
            lines.append([name, right, changed, f"{quality.mcnemar_p:.3f}", f"{quality.ratio:.3f}, {passed}"])
    head = ["fixture", "right, its own / reference", "lost / gained", "McNemar p", "ratio (τ 0.95)"]
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
