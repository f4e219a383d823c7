"""From a run directory to the exhibits of its judges: evidence, files, diff and transcript, never the score."""

import json
from collections.abc import Iterator
from pathlib import Path

from inferencebench.gates.integrity.model import IntegrityResult
from inferencebench.gates.judge.model import Exhibit

MAX_FILES = 40
MAX_FILE_BYTES = 30_000
TRANSCRIPT_BYTES = 60_000
TEXT = {".sh", ".py", ".toml", ".json", ".yaml", ".yml", ".md", ".txt", ".cfg", ".ini", ".js", ".cu", ".c", ".cpp", ""}


def exhibits(directory: Path, integrity: IntegrityResult | None) -> list[Exhibit]:
    """What the judges see of a run: the checks, the submission's text files, the end of the transcript."""
    found = [Exhibit("evidence.json", _evidence(integrity))]
    found += list(_files(directory / "freeze" / "submission"))
    transcript = directory / "solve" / "trajectory.jsonl"
    if transcript.is_file():
        found.append(Exhibit("transcript.jsonl", _end(transcript, TRANSCRIPT_BYTES)))
    return found


def _evidence(integrity: IntegrityResult | None) -> str:
    checks = [] if integrity is None else [c.model_dump(mode="json") for c in integrity.checks if c.name != "judge"]
    return json.dumps(checks, indent=1)


def _files(folder: Path) -> Iterator[Exhibit]:
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink() and p.suffix in TEXT]
    for path in paths[:MAX_FILES]:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES)
        if b"\0" not in data:
            yield Exhibit(f"submission/{path.relative_to(folder).as_posix()}", data.decode("utf-8", "replace"))
    if len(paths) > MAX_FILES:
        yield Exhibit("more-files.txt", "\n".join(p.relative_to(folder).as_posix() for p in paths[MAX_FILES:]))


def _end(path: Path, size: int) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read().decode("utf-8", "replace")
