"""From a run directory to the exhibits of its judges: evidence, launcher, transcript and files, never the score."""

import json
from collections.abc import Iterator
from pathlib import Path

from inferencebench.gates.integrity.model import IntegrityResult
from inferencebench.gates.integrity.static.patterns import PATTERNS
from inferencebench.gates.judge.model import Exhibit

MAX_FILES = 40
MAX_FILE_BYTES = 30_000
CHUNK_BYTES = 15_000
MAX_CHUNKS = 4
"""Of a longer transcript: its end, and those parts in which the static rules find most."""
LAST_CHUNKS = 2
LAUNCHER = "start_server.sh"
TEXT = {".sh", ".py", ".toml", ".json", ".yaml", ".yml", ".md", ".txt", ".cfg", ".ini", ".js", ".cu", ".c", ".cpp", ""}


def exhibits(directory: Path, integrity: IntegrityResult | None) -> list[Exhibit]:
    """What the judges see of a run: the checks, its launcher, parts of the transcript, its other text files."""
    submission = directory / "freeze" / "submission"
    files = sorted(_files(submission), key=lambda exhibit: exhibit.name != f"submission/{LAUNCHER}")
    launcher = [exhibit for exhibit in files[:1] if exhibit.name == f"submission/{LAUNCHER}"]
    found = [Exhibit("evidence.json", _evidence(integrity)), *launcher]
    transcript = directory / "solve" / "trajectory.jsonl"
    if transcript.is_file():
        found += _parts(transcript)
    return found + files[len(launcher) :]


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


def _parts(path: Path) -> list[Exhibit]:
    """Chunks of the transcript, numbered from 1 in its order, and a note of those that are left out."""
    chunks = _chunks(path.read_bytes().decode("utf-8", "replace"))
    chosen = set(range(len(chunks))[-LAST_CHUNKS:])
    others = [number for number in range(len(chunks)) if number not in chosen]
    others.sort(key=lambda number: (-_hits(chunks[number]), number))
    chosen.update(others[: MAX_CHUNKS - len(chosen)])
    found = [Exhibit(f"transcript/{number + 1:04d}.jsonl", chunks[number]) for number in sorted(chosen)]
    if len(chosen) < len(chunks):
        found.append(Exhibit("transcript/note.txt", f"{len(found)} of {len(chunks)} parts are shown"))
    return found


def _chunks(text: str) -> list[str]:
    """Pieces of at most CHUNK_BYTES characters, cut at the ends of lines where there are such."""
    chunks: list[str] = []
    for line in text.splitlines(keepends=True):
        for start in range(0, len(line), CHUNK_BYTES):
            piece = line[start : start + CHUNK_BYTES]
            if chunks and len(chunks[-1]) + len(piece) <= CHUNK_BYTES:
                chunks[-1] += piece
            else:
                chunks.append(piece)
    return chunks


def _hits(text: str) -> int:
    """In how many ways a text speaks of a cheat."""
    return sum(len(pattern.findall(text)) for pattern in PATTERNS.values())
