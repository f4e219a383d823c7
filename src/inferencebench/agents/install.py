"""Pinned command-line agents: which package each is, and its installation into the cache by npm."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from inferencebench.errors import MissingError, UserError
from inferencebench.files import write_json
from inferencebench.paths import cache_dir
from inferencebench.run.machine import lease
from inferencebench.suites.model import Record

INSTALL_TIMEOUT_S = 540.0
RECORD = "installed.json"


class Package(Record):
    """A command-line agent as its registry has it."""

    name: str
    """The kind in an agent's full name: `codex` of `codex:gpt-5.4`."""
    npm: str
    version: str
    program: str
    """Under `node_modules/.bin`."""
    node: str = "22.23.3"
    """Version of the npm package `node`."""

    @property
    def folder(self) -> Path:
        """Where it is installed in the cache."""
        return cache_dir() / "agents" / f"{self.name}-{self.version}"


class Installed(Record):
    """What an installation consists of."""

    package: Package
    reported_version: str
    """What the program says of itself."""
    lock_sha256: str
    """Hash of npm's lock file."""
    integrity: dict[str, str]
    """Package path → npm's subresource integrity, for every package that was fetched."""


PACKAGES = (
    Package(name="claude-code", npm="@anthropic-ai/claude-code", version="2.1.330", program="claude"),
    Package(name="codex", npm="@openai/codex", version="0.169.0", program="codex"),
    Package(name="opencode", npm="opencode-ai", version="1.18.33", program="opencode"),
    Package(name="gemini-cli", npm="@google/gemini-cli", version="0.61.0", program="gemini"),
)


def package(name: str) -> Package:
    """The pinned package of the agent kind `name`.

    Raises UserError for an unknown one."""
    found = next((p for p in PACKAGES if p.name == name), None)
    if found is None:
        raise UserError(f"agent {name!r} is not installable; one of {', '.join(p.name for p in PACKAGES)} is")
    return found


def installed(which: Package) -> Installed | None:
    """The record of a complete installation whose lock file is unchanged, or None."""
    try:
        record = Installed.model_validate_json((which.folder / RECORD).read_bytes())
        lock = (which.folder / "package-lock.json").read_bytes()
    except (OSError, ValueError):
        return None
    unchanged = record.package == which and record.lock_sha256 == hashlib.sha256(lock).hexdigest()
    return record if unchanged and (which.folder / "node_modules" / ".bin" / which.program).exists() else None


def install(which: Package) -> Installed:
    """Install it unless it is there; the record is written last, so a killed installation is made again. Runs that need
    it at the same time wait for the first.

    Raises MissingError when npm is absent, cannot reach its registry, or the program does not start."""
    with lease(which.folder.with_name(f".{which.folder.name}.lock"), wait=True):
        return installed(which) or _install(which)


def _install(which: Package) -> Installed:
    npm = shutil.which("npm")
    if npm is None:
        raise MissingError(f"{which.name}: npm is not installed; install Node.js with npm")
    which.folder.mkdir(parents=True, exist_ok=True)
    write_json(which.folder / "package.json", {"private": True})
    argv = [npm, "install", "--no-audit", "--no-fund", "--save-exact", f"{which.npm}@{which.version}"]
    _run(which, [*argv, f"node@{which.node}"], dict(os.environ))
    lock = (which.folder / "package-lock.json").read_bytes()
    record = Installed(
        package=which,
        reported_version=reported_version(which),
        lock_sha256=hashlib.sha256(lock).hexdigest(),
        integrity=integrity(json.loads(lock)),
    )
    write_json(which.folder / RECORD, record)
    return record


def integrity(lock: dict[str, Any]) -> dict[str, str]:
    """Integrity of every package in an npm lock file (version 2 or 3)."""
    rows = lock.get("packages", {})
    return {path: row["integrity"] for path, row in sorted(rows.items()) if "integrity" in row}


def reported_version(which: Package) -> str:
    """What `PROGRAM --version` prints, run with the installed node and an empty environment.

    Raises MissingError when it does not start or names another version."""
    bin_folder = which.folder / "node_modules" / ".bin"
    env = {"PATH": f"{bin_folder}:/usr/bin:/bin", "HOME": str(which.folder), "DISABLE_AUTOUPDATER": "1"}
    text = _run(which, [str(bin_folder / which.program), "--version"], env).strip()
    if which.version not in text:
        raise MissingError(f"{which.name}: {which.version} was asked for, the program says {text[:80]!r}")
    return text.splitlines()[0]


def _run(which: Package, argv: list[str], env: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            argv, cwd=which.folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=INSTALL_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingError(f"{which.name}: {Path(argv[0]).name}: {error}") from None
    if done.returncode != 0:
        tail = " ".join(done.stderr.split())[-300:]
        raise MissingError(f"{which.name}: {Path(argv[0]).name} ended with {done.returncode}: {tail}")
    return done.stdout
