"""What the repository keeps of the runs of h100.py, and reading it back."""

import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from inferencebench.analysis.collect import collect
from inferencebench.files import read_jsonl
from inferencebench.redteam.zoo import said
from inferencebench.run.record import Launch, Result
from inferencebench.run.salt import NAME as SALT
from inferencebench.suites.model import Metric

NAME, GATE = "h100-2026", "h100-2026-gate"
KEPT = (
    "spec.json", "result.json", "events.jsonl", "decisions.jsonl", "search-journal.jsonl", "*/phase.json",
    "prepare/eval.jsonl", "prepare/eval_questions.jsonl", "freeze/manifest.json", "freeze/submission/*.sh",
    "freeze/submission/*.py", "solve/session.json", "solve/search/*.json", "measure/*.json",
    "measure/launch-*/*.parquet", "measure/launch-*/probes/*.parquet", "measure/launch-*/telemetry.jsonl",
    "quality/answers.jsonl", "likelihood/likelihood.jsonl", "integrity/integrity.json", "integrity/judges.jsonl",
)  # fmt: skip
"""What scoring again needs, and what the page is made of."""
MACHINE = ("state.jsonl", "logs/wall.log", "logs/prepare-0.log", "logs/prepare-1.log")
UNITS = {
    Metric.TTFT: ("ms", 1e3),
    Metric.TPOT: ("ms", 1e3),
    Metric.REQUESTS_PER_S: ("req/s", 1.0),
    Metric.BALANCED: ("", 1.0),
}
ENGINE_SAYS = re.compile(r"\b(?:version [\d.]+|Using FlashAttention version \d)$")
"""What an engine's log tells of itself."""
HOME = re.compile(r"/(?:root|home/\w+)(?=/)")


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
    """Copy what numbers come from; the dev side, workspaces and logs stay out."""
    for runs, out in ((source / "runs", target / NAME), (source / "zoo", target / GATE / "zoo")):
        if not runs.is_dir():
            continue  # not run again: what an earlier session kept stays
        shutil.rmtree(out, ignore_errors=True)
        for directory, _ in collect([runs]).results:
            for pattern in KEPT:
                for path in sorted(directory.glob(pattern)):
                    _copy(path, out / path.relative_to(runs))
            if logs := said(directory):
                (out / directory.relative_to(runs) / "said.txt").write_text("\n".join(logs) + "\n")
            if lines := _engine(directory / "measure" / "launch-0"):
                (out / directory.relative_to(runs) / "engine.txt").write_text("\n".join(lines) + "\n")
        _copy(runs / SALT, out / SALT)  # disclosed: nothing more is run under it
    for name in MACHINE:
        if (source / name).exists():
            _copy_log(source / name, target / GATE / "machine" / Path(name).name)
    if (faults := source / "faults" / "faults.json").exists():
        _copy_log(faults, target / GATE / "faults.json")


def _engine(launch: Path) -> list[str]:
    """Each thing once that the engine's log says of itself."""
    text = "".join(path.read_text(errors="replace") for path in sorted(launch.glob("server.*")))
    return list(dict.fromkeys(found[0] for line in text.splitlines() if (found := ENGINE_SAYS.search(line.rstrip()))))


def _copy(path: Path, to: Path) -> None:
    if path.is_file():
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)


def _copy_log(path: Path, to: Path) -> None:
    """Without the home directory of the machine, which nobody else has."""
    if path.is_file():
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(HOME.sub("~", path.read_text()))


def runs_in(folder: Path) -> list[Run]:
    """Finished runs, in the order of their names."""
    return [Run(directory, result) for directory, result in collect([folder]).results] if folder.is_dir() else []


def card(run: Run) -> str:
    """The start of the UUID of the GPU that a run held."""
    held = (event for event in read_jsonl(run.directory / "events.jsonl") if event["event"] == "device_held")
    return str(next(held)["devices"][0]).partition("GPU-")[2][:8]


def native(metric: Metric, value: float | None) -> str:
    """A metric with its unit."""
    if value is None:
        return "–"
    unit, factor = UNITS[metric]
    return f"{value * factor:.4g} {unit}".strip()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)
