"""Sandboxes, GPUs, engines and model sources of this machine."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import httpx

from inferencebench.doctor.gpu import scan_gpus
from inferencebench.doctor.model import Finding, Status
from inferencebench.errors import BenchError
from inferencebench.models.store import entry_name
from inferencebench.suites.load import load
from inferencebench.suites.model import Model

HUB = "https://huggingface.co"
INDEX = "https://pypi.org/simple"
REACH_TIMEOUT_S = 4.0
PIP_TIMEOUT_S = 20.0
BASELINE_ENGINE = "pytorch"
Reach = Callable[[str], bool]


def sandboxes() -> Iterator[Finding]:
    """Every back end, really started once. Rows need one; ranked rows need one that isolates."""
    from inferencebench.sandbox import registry

    probes = {name: registry.probe(name) for name in registry.names()}
    absent = Status.WARN if any(probe.ok for probe in probes.values()) else Status.MISSING
    for name, probe in probes.items():
        status = Status.OK if probe.ok else absent
        remedy = "" if probe.ok else probe.remedy
        yield Finding(area="sandbox", name=name, status=status, detail=probe.detail, remedy=remedy)


def gpus() -> Iterator[Finding]:
    """NVIDIA devices; the laptop suites need none."""
    scan = scan_gpus()
    for number, gpu in enumerate(scan.gpus):
        detail = f"{gpu.name}, {gpu.memory_gib:g} GiB, driver {gpu.driver}"
        yield Finding(area="gpu", name=f"gpu {number}", status=Status.OK, detail=detail)
    if not scan.gpus:
        remedy = "only the h100-* and a100-* suites need one: a machine with an NVIDIA GPU and its driver"
        yield Finding(area="gpu", name="nvidia", status=Status.WARN, detail=scan.detail, remedy=remedy)


def engines() -> Iterator[Finding]:
    """Every engine; the PyTorch one is the baseline of all suites."""
    from inferencebench.engines import registry

    for name in registry.names():
        try:
            found = registry.get(name).availability()
        except BenchError as error:
            # A plug-in that does not load is a finding, not the end of the examination.
            yield Finding(area="engine", name=name, status=Status.WARN, detail=str(error), remedy="mend its package")
            continue
        absent = Status.MISSING if name == BASELINE_ENGINE else Status.WARN
        status = Status.OK if found.ok else absent
        remedy = "" if found.ok else found.remedy
        yield Finding(area="engine", name=name, status=status, detail=found.detail, remedy=remedy)


def model_sources(cache: Path, reach: Reach | None) -> Iterator[Finding]:
    """Where checkpoints can come from: the cache, a package index, the hub.

    `reach` says whether a URL answers; None: nobody may ask."""
    model = load("laptop").model
    cached = is_cached(cache, model)
    yield Finding(
        area="model",
        name="checkpoint",
        status=Status.OK if cached else Status.WARN,
        detail=f"{model.id} is {'cached' if cached else f'not in {cache} yet'}",
        remedy="" if cached else "the first run fetches it",
    )
    yield _index(f"for {model.source.package} (93 MB)", cached, reach)
    hub = _asked(HUB, reach)
    remedy = "" if hub.answers else "only suites on hub models need it; h100-random-7b does without"
    yield Finding(
        area="model", name="hub", status=Status.OK if hub.answers else Status.WARN, detail=hub.state, remedy=remedy
    )


class _Asked(NamedTuple):
    answers: bool
    state: str


def _asked(url: str, reach: Reach | None) -> _Asked:
    if reach is None:
        return _Asked(False, f"{without_credentials(url)}: not asked (--offline)")
    answers = reach(url)
    return _Asked(answers, f"{without_credentials(url)}: {'answers' if answers else 'does not answer'}")


def _index(purpose: str, cached: bool, reach: Reach | None) -> Finding:
    """The package index, which a machine without the checkpoint needs once."""
    absent = Status.WARN if cached else Status.MISSING
    if not has_pip():
        remedy = f"python -m ensurepip, {purpose}"
        return Finding(area="model", name="package index", status=absent, detail="pip is not installed", remedy=remedy)
    index = _asked(package_index(), reach)
    return Finding(
        area="model",
        name="package index",
        status=Status.OK if index.answers else absent,
        detail=index.state,
        remedy="" if index.answers else f"connect once, or set PIP_INDEX_URL to a mirror, {purpose}",
    )


def without_credentials(url: str) -> str:
    """The URL without user name and password: reports get shared."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def is_cached(cache: Path, model: Model) -> bool:
    """Whether the checkpoint store has this model complete."""
    return (cache / "checkpoints" / entry_name(model) / "manifest.json").is_file()


def has_pip() -> bool:
    """Whether this interpreter can run pip."""
    return _pip(["--version"]) is not None


def package_index() -> str:
    """The index that pip is configured to use, by environment or file."""
    return os.environ.get("PIP_INDEX_URL") or _pip(["config", "get", "global.index-url"]) or INDEX


def _pip(arguments: list[str]) -> str | None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=True)
    except (subprocess.SubprocessError, OSError):
        return None
    return done.stdout.strip()


def reachable(url: str) -> bool:
    """Whether anything but a server error comes back within seconds, by the user's proxies."""
    try:
        with httpx.Client(timeout=REACH_TIMEOUT_S, follow_redirects=True) as client, client.stream("GET", url) as reply:
            return reply.status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
