"""Looking through a submission's files: bounded in time and size, whatever they hold."""

import ast
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from inferencebench.gates.integrity.static.model import Finding
from inferencebench.gates.integrity.static.patterns import CHECKPOINTS, PATTERNS

MAX_FILES = 5000
MAX_BYTES = 32 << 20
"""Of text in all: about 30 s at the slowest."""
MAX_FILE_BYTES = 1 << 20
"""Of a file, the first MiB is read."""
MAX_LINE = 2000
MAX_FINDINGS = 100
QUOTE_CHARACTERS = 160
FROM_DATA = ("exec", "eval", "__import__")
CONFIG_SHAPES = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "sliding_window",
)


def scan(folder: Path) -> tuple[Finding, ...]:
    """All findings in the files below `folder`, by path and line; at most MAX_FINDINGS. Follows no links.

    What is not read (too many files, too much text, unreadable) is a finding too: nothing hides by being large."""
    found: list[Finding] = []
    left = MAX_BYTES
    for number, path in enumerate(_files(folder)):
        name = path.relative_to(folder).as_posix()
        if number >= MAX_FILES or left <= 0:
            found.append(_not_read(name, "this file and those after it: too many files, or too much text"))
            break
        try:
            size = path.stat().st_size
            found += islice(_look(path, name), MAX_FINDINGS - len(found))
        except OSError as error:
            found.append(_not_read(name, error.strerror or type(error).__name__))
            continue
        left -= 0 if path.suffix in CHECKPOINTS else min(size, MAX_FILE_BYTES)
        if len(found) >= MAX_FINDINGS:
            break
    return tuple(found[:MAX_FINDINGS])


def _not_read(name: str, why: str) -> Finding:
    return Finding(rule="not-read", path=name, line=0, quote=why)


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(root, name)
            if not path.is_symlink() and path.is_file():
                yield path


def _look(path: Path, name: str) -> Iterator[Finding]:
    if path.suffix in CHECKPOINTS:
        yield Finding(rule="checkpoint", path=name, line=0, quote=f"{path.stat().st_size} bytes of weights")
        return
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        yield _not_read(name, f"what follows the first {MAX_FILE_BYTES} bytes")
    if data.startswith(b"\x7fELF"):
        yield Finding(rule="program", path=name, line=0, quote="a compiled program or library")
        return
    text = data[:MAX_FILE_BYTES].decode("utf-8", "replace")
    if path.suffix == ".json":
        yield from _config(text, name)
    yield from _lines(text, name)
    if path.suffix == ".py":
        yield from _python(text, name)


def _lines(text: str, name: str) -> Iterator[Finding]:
    """Patterns line by line; a rule that finds nothing in the whole text is not tried on its lines."""
    rules = {rule: pattern for rule, pattern in PATTERNS.items() if pattern.search(text)}
    for number, line in enumerate(text.split("\n"), 1) if rules else ():
        if len(line) > MAX_LINE:
            yield Finding(rule="not-read", path=name, line=number, quote=f"what follows column {MAX_LINE}")
        for rule, pattern in rules.items():
            if pattern.search(line[:MAX_LINE]):
                yield Finding(rule=rule, path=name, line=number, quote=line.strip()[:QUOTE_CHARACTERS])


def _config(text: str, name: str) -> Iterator[Finding]:
    """A model configuration of the submission's own."""
    for number, line in enumerate(text.split("\n"), 1):
        if any(f'"{key}"' in line for key in CONFIG_SHAPES):
            yield Finding(rule="model-config", path=name, line=number, quote=line.strip()[:QUOTE_CHARACTERS])


def _python(text: str, name: str) -> Iterator[Finding]:
    """What is plain in the syntax and hidden from patterns: code from data, and functions swapped in other modules."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield Finding(rule="unreadable-python", path=name, line=0, quote="does not parse")
        return
    lines = text.split("\n")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FROM_DATA:
            rule = "code-from-data"
        elif isinstance(node, ast.Assign) and any(_patches(target) for target in node.targets):
            rule = "patched-module"
        else:
            continue
        quote = lines[node.lineno - 1].strip()[:QUOTE_CHARACTERS]
        yield Finding(rule=rule, path=name, line=node.lineno, quote=quote)


def _patches(target: ast.expr) -> bool:
    """Whether an assignment swaps an attribute of a timing or network module."""
    modules = {"time", "socket", "asyncio", "datetime", "builtins", "sys"}
    return isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id in modules
