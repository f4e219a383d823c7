"""What differs between two frozen submissions, counted in variables: settings of the engine, hunks of text, files."""

import difflib
from pathlib import Path

from inferencebench.engines.recognition import recognise
from inferencebench.run.freeze import text_lines
from inferencebench.run.record import Manifest
from inferencebench.serve.submission import LAUNCHER
from inferencebench.serve.text import printable

NAMED = 40
"""At most this many variables are named; the count is of all."""


class Snapshot:
    """A frozen submission and its manifest. Nothing of it is followed or run, only read."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.files = {file.path: file for file in manifest.files}


def variables(before: Snapshot, after: Snapshot) -> list[str]:
    """One entry per changed variable. A launcher of a known engine is compared by its settings, where these differ; any
    other text by its hunks, blank lines and comments left out; a binary file that differs is one variable."""
    found: list[str] = []
    for path in sorted(before.files.keys() | after.files.keys()):
        old, new = before.files.get(path), after.files.get(path)
        if old is not None and new is not None and old.sha256 == new.sha256 and old.executable == new.executable:
            continue
        shown = printable(path, 80)
        if old is None or new is None:
            found.append(f"{shown} {'added' if old is None else 'removed'}")
            continue
        found += _within(shown, text_lines(before.folder / path), text_lines(after.folder / path), path == LAUNCHER)
    return found


def _within(name: str, old: list[str] | None, new: list[str] | None, launcher: bool) -> list[str]:
    if old is None or new is None:
        return [f"{name} changed"]
    if launcher and (settings := _settings("".join(old), "".join(new))):
        return settings
    steps = difflib.SequenceMatcher(None, _code(old), _code(new), autojunk=False).get_opcodes()
    return [f"{name}: lines {first + 1}" for kind, _, _, first, _ in steps if kind != "equal"]


def _settings(old: str, new: str) -> list[str]:
    """Changes of the engine and its settings."""
    was, now = recognise(old), recognise(new)
    found = [] if was.engine == now.engine else [f"engine {was.engine or 'unknown'} -> {now.engine or 'unknown'}"]
    for name in sorted(was.settings.keys() | now.settings.keys()):
        a, b = was.settings.get(name, "default"), now.settings.get(name, "default")
        if a != b:
            found.append(printable(f"{name} {a} -> {b}", 160))
    return found


def _code(lines: list[str]) -> list[str]:
    bare = (line.strip() for line in lines)
    return [line for line in bare if line and not line.startswith("#")]
