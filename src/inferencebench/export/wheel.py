"""The package as it runs here, as a wheel, and the versions it runs with: what a container image is made from."""

import base64
import hashlib
import io
import re
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.resources import as_file, files
from pathlib import Path

from packaging.requirements import Requirement

PACKAGE = "inferencebench"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of every member, so that equal packages are equal wheels."""
TAG = "py3-none-any"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def build(folder: Path) -> Path:
    """Write the wheel of the installed package (editable or not) into `folder`; its path."""
    found = distribution(PACKAGE)
    info = f"{PACKAGE}-{found.version}.dist-info"
    members = dict(_sources())
    members[f"{info}/METADATA"] = (found.read_text("METADATA") or "").encode()
    members[f"{info}/entry_points.txt"] = (found.read_text("entry_points.txt") or "").encode()
    members[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {TAG}\n".encode()
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in members.items()]
    members[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,\n"]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data, zipfile.ZIP_DEFLATED)
    path = folder / f"{PACKAGE}-{found.version}-{TAG}.whl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return path


def _sources() -> Iterator[tuple[str, bytes]]:
    with as_file(files(PACKAGE)) as root:
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{PACKAGE}/{path.relative_to(root).as_posix()}", path.read_bytes()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def pins(extras: frozenset[str]) -> list[str]:
    """`name==version` of every package that this one needs with these extras, as installed here; sorted. A needed
    package that is not installed is left to pip."""
    found: dict[str, str] = {}
    waiting = [(PACKAGE, extras)]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue
        if name != PACKAGE:
            found[name] = installed.version
        waiting += _needs(installed, wanted)
    return [f"{name}=={number}" for name, number in sorted(found.items())]


def _needs(installed: Distribution, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for line in installed.requires or ():
        one = Requirement(line)
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield re.sub(r"[-_.]+", "-", one.name).lower(), frozenset(one.extras)


def requirements(extras: frozenset[str]) -> str:
    """A requirements file of `pins`; builds of torch for the CPU need their own index."""
    lines = pins(extras)
    index = [f"--extra-index-url {TORCH_CPU_INDEX}"] if any("+cpu" in line for line in lines) else []
    return "\n".join([*index, *lines]) + "\n"


def python_version() -> str:
    """`3.12`: the Python that the pins were made with."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"
