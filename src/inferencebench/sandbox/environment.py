"""What a sandbox sees of the harness: its Python environment and package, read-only and without the gold answers."""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import inferencebench
from inferencebench.paths import ENGINE_ENVIRONMENT
from inferencebench.sandbox.bubblewrap import HOME
from inferencebench.sandbox.contract import Mount

PACKAGE_PARENT = "/opt/inferencebench"
SECRETS = ("workload/questions", "redteam", "tests")
"""Folders of the package that answer the gates' questions, or show how to cheat them."""
SITE = "/opt/site"
"""Further directories of installed packages, numbered, where the harness finds them by `$PYTHONPATH`."""


class EngineView(NamedTuple):
    """Parts of a `SandboxSpec`."""

    mounts: tuple[Mount, ...]
    masked: tuple[str, ...]
    env: dict[str, str]


def engine_view() -> EngineView:
    """The environment that runs this program at `/opt/ib`, and the package at `/opt/inferencebench/inferencebench`.

    `$IB_PYTHON` is its interpreter (under the `process` back end: the harness's own). Scripts in `/opt/ib/bin` have the
    host's path in their first line: run modules with `$IB_PYTHON -m`. Thread counts are left to the caller."""
    package = Path(inferencebench.__file__).resolve().parent
    mounts = [Mount(Path(sys.prefix), ENGINE_ENVIRONMENT)]
    mounts += [Mount(path.resolve(), str(path)) for path in interpreter_prefixes()]
    mounts.append(Mount(package, f"{PACKAGE_PARENT}/{package.name}"))
    sites = [Mount(path, f"{SITE}/{number}") for number, path in enumerate(_sites(package))]
    mounts += sites
    env = {
        "HOME": HOME,
        "PATH": f"{ENGINE_ENVIRONMENT}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": ":".join([PACKAGE_PARENT, *(mount.target for mount in sites)]),
        "IB_PYTHON": f"{ENGINE_ENVIRONMENT}/bin/{_interpreter_name()}",
    }
    return EngineView(tuple(mounts), masks(package, mounts), env)


def _sites(package: Path) -> list[Path]:
    """Directories of `$PYTHONPATH` that pip installed into (`--target`). Others may hold anything, such as records."""
    paths = (Path(part).resolve() for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part)
    return [path for path in dict.fromkeys(paths) if path != package.parent and any(path.glob("*.dist-info"))]


def masks(package: Path, mounts: list[Mount]) -> tuple[str, ...]:
    """Inside paths of the secrets, at every place where the package may be seen: where it is mounted, in the
    environment's site-packages, and at its own path if the base system holds it."""
    places = [str(package)]
    for mount in mounts:
        source = mount.source.resolve()
        if package.is_relative_to(source):
            places.append(str(Path(mount.target) / package.relative_to(source)))
    return tuple(dict.fromkeys(f"{place}/{secret}" for place in places for secret in SECRETS))


def interpreter_prefixes() -> list[Path]:
    """Directories outside the environment and the base system that its interpreter is made of.

    A virtual environment's `python` is a chain of links, and each link's own path must exist inside."""
    found: list[Path] = []
    link = Path(sys.prefix) / "bin" / _interpreter_name()
    candidates = [Path(sys.base_prefix)]
    while link.is_symlink():
        link = link.parent / link.readlink()
        candidates.append(link.parent.parent)
    candidates.append(link.resolve().parent.parent)
    for path in candidates:
        absolute = Path(*(part for part in path.parts if part != "."))
        seen = (Path("/usr"), Path(sys.prefix), *found)
        if absolute.is_dir() and not any(absolute.is_relative_to(place) for place in seen):
            found.append(absolute)
    return found


def _interpreter_name() -> str:
    """`python` where the environment has it, as every virtual environment does; else this program's name."""
    return "python" if (Path(sys.prefix) / "bin" / "python").exists() else Path(sys.executable).name
