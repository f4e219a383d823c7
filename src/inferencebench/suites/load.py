"""Suites from TOML: built-in ones by name, others by path.

A file may take over others with `extends = "_paper"` or `extends = ["_paper", "_h100"]`: names of built-in files (a
leading underscore marks parts, which are no suites) or paths relative to the file. Tables are merged key by key, later
files and the file itself win, and arrays are replaced whole. What changes a suite needs a `name` of its own.
"""

import difflib
import json
import tomllib
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inferencebench.errors import UserError
from inferencebench.suites.explain import TOO_DEEP, explain
from inferencebench.suites.model import Scenario, ScenarioName, Suite

BUILTIN = Path(__file__).parent / "builtin"
PART_PREFIX = "_"


def names() -> list[str]:
    """The built-in suites, sorted."""
    return sorted(path.stem for path in BUILTIN.glob("*.toml") if not path.name.startswith(PART_PREFIX))


def load(name_or_path: str) -> Suite:
    """The suite of this built-in name, or in this TOML file.

    Raises UserError with file, key and what would be right."""
    path = _find(name_or_path)
    try:
        # Strict, and by way of JSON: a string is no number, but an array is a tuple and a name an enum.
        return Suite.model_validate_json(_json(path), strict=True)
    except ValidationError as error:
        raise UserError(f"{_shown(path)}: {explain(error, Suite)}") from None
    except RecursionError:
        raise UserError(f"{_shown(path)}: {TOO_DEEP}") from None


def scenario(suite: Suite, name: str) -> Scenario:
    """The suite's scenario of this name (`prefill`) or letter (`A`), in any case.

    Raises UserError when the suite has none."""
    wanted = name.strip().lower()
    for candidate in suite.scenarios:
        if wanted in (candidate.name.value, candidate.id.lower()):
            return candidate
    known = [f"{s.name.value} ({s.id})" for s in suite.scenarios]
    guess = difflib.get_close_matches(wanted, [n.value for n in ScenarioName], n=1)
    hint = f"did you mean {guess[0]}? " if guess else ""
    raise UserError(f"suite {suite.name} has no scenario {name!r}: {hint}it has {', '.join(known)}")


def _find(name_or_path: str) -> Path:
    if name_or_path in names():
        return BUILTIN / f"{name_or_path}.toml"
    path = Path(name_or_path).expanduser()
    if path.suffix == ".toml" or len(path.parts) > 1 or path.exists():
        if path.is_file():
            return path
        if path.is_dir():
            raise UserError(f"{name_or_path}: is a directory; give a suite's TOML file or one of {', '.join(names())}")
        raise UserError(f"{name_or_path}: no such file; give a suite's TOML file or one of {', '.join(names())}")
    raise UserError(f"no suite {name_or_path!r}: {_suggest(name_or_path)}")


def _suggest(name: str) -> str:
    near = difflib.get_close_matches(name, names(), n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there are {', '.join(names())}; or give a path to a TOML file"


def _json(path: Path) -> str:
    """The file with all it extends, as JSON."""
    try:
        return json.dumps(_read(path, ()))
    except TypeError:
        raise UserError(f"{_shown(path)}: holds a date or a time, which no key of a suite takes; use quotes") from None


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """The file's content on top of what it extends. `above`: the files that extend it, outermost first."""
    if path in above:
        chain = " -> ".join(p.name for p in (*above, path))
        raise UserError(f"{_shown(path)}: extends: files extend each other in a circle ({chain})")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{_shown(path)}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{_shown(path)}: not UTF-8 text at byte {error.start}; TOML is UTF-8") from None
    except ValueError as error:  # also the limit on digits of an integer, which tomllib lets through
        raise UserError(f"{_shown(path)}: not valid TOML: {error}") from None
    parents = [_read(parent, (*above, path)) for parent in _extends(path, content.pop("extends", []))]
    merged = reduce(merge, [*parents, content])
    if any(parent.get("name", ()) == merged.get("name") and parent != merged for parent in parents):
        raise UserError(f"{_shown(path)}: name: {merged['name']!r} is the suite that this one changes; give it its own")
    return merged


def _extends(path: Path, value: object) -> Iterable[Path]:
    """The files that `extends` names.

    Raises UserError for a wrong type or a file that is not there."""
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise UserError(f'{_shown(path)}: extends: give one name or a list of names, such as ["_paper", "_h100"]')
    for entry in entries:
        builtin, local = BUILTIN / f"{entry}.toml", (path.parent / entry).resolve()
        if builtin.is_file():
            yield builtin
        elif local.is_file():
            yield local
        else:
            parts = sorted(p.stem for p in BUILTIN.glob("*.toml"))
            raise UserError(
                f"{_shown(path)}: extends: no {entry!r} beside the file or built in; built in are {', '.join(parts)}"
            )


def merge(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """`top` over `base`: tables key by key, everything else replaced."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _shown(path: Path) -> str:
    """A built-in file by its name alone: its folder says nothing to a user."""
    return path.name if path.parent == BUILTIN else str(path)
