"""Looking through a submission's files: bounded in time and size, whatever they hold."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

from inferencebench.gates.integrity.static.model import Finding
from inferencebench.gates.integrity.static.patterns import CHECKPOINTS, PATTERNS

MAX_FILES = 5000
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
    """All findings in the files below `folder`, by path and line; at most MAX_FINDINGS. Follows no links."""
    found: list[Finding] = []
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        for finding in _look(path, name):
            found.append(finding)
            if len(found) >= MAX_FINDINGS:
                return tuple(found)
    return tuple(found)


def _files(folder: Path) -> Iterator[Path]:
    count = 0
    for root, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(root, name)
            if path.is_symlink() or not path.is_file():
                continue
            count += 1
            if count > MAX_FILES:
                return
            yield path


def _look(path: Path, name: str) -> Iterator[Finding]:
    if path.suffix in CHECKPOINTS:
        yield Finding(rule="checkpoint", path=name, line=0, quote=f"{path.stat().st_size} bytes of weights")
        return
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES)
    if b"\0" in data[:4096]:
        yield from _binary(data, name)
        return
    text = data.decode("utf-8", "replace")
    if path.suffix == ".json":
        yield from _config(text, name)
    for number, line in enumerate(text.split("\n"), 1):
        for rule, pattern in PATTERNS.items():
            if pattern.search(line[:MAX_LINE]):
                yield Finding(rule=rule, path=name, line=number, quote=line.strip()[:QUOTE_CHARACTERS])
    if path.suffix == ".py":
        yield from _python(text, name)


def _binary(data: bytes, name: str) -> Iterator[Finding]:
    if data.startswith(b"\x7fELF"):
        yield Finding(rule="program", path=name, line=0, quote="a compiled program or library")


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
