"""A campaign directory with real baselines of the tiny suite, shared by all end-to-end tests."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TINY = Path(__file__).parent / "tiny.toml"
SALT = bytes(range(32))
"""Fixed, so that the drawn questions and prompts are the same in every test session."""
DISTURBED = "client starved|schedule slipped"
"""Our own client was late, on both attempts of a run: the machine was busy."""


def command(*args: str | Path) -> list[str]:
    """The real command line."""
    return [sys.executable, "-m", "inferencebench", *map(str, args)]


def bench(*args: str | Path, code: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a verb to its end, a second time where the machine disturbed it (it resumes), and check its exit code."""
    done = _run(*args, cwd=cwd)
    if done.returncode == 3 and re.search(DISTURBED, done.stderr):
        done = _run(*args, cwd=cwd)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "Traceback" not in done.stderr
    return done


def _run(*args: str | Path, cwd: Path | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*args), capture_output=True, text=True, cwd=cwd, timeout=280, check=False)


def run_json(out: Path, scenario: str, agent: str, *more: str) -> dict[str, Any]:
    """`run … --json` on the tiny suite."""
    done = bench("run", TINY, scenario, agent, "--out", out, "--json", *more)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="session")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign directory whose decode baseline is measured."""
    out = tmp_path_factory.mktemp("campaign")
    (out / ".salt").write_bytes(SALT)
    (out / ".salt").chmod(0o600)
    bench("baseline", TINY, "decode", "--out", out)
    return out


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """Make a script agent from the text of its solve.sh and further files; gives its agent name."""

    def make(name: str, solve: str, **files: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "solve.sh").write_text(solve)
        for file, text in files.items():
            (folder / file.replace("__", ".")).write_text(text)
        return f"script:{folder}"

    return make


def sandboxed_processes(out: Path) -> set[int]:
    """Pids of processes behind a wall that shows a part of `out`: what a run there has, or left behind."""
    own = os.readlink("/proc/self/ns/pid")
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                inside = os.readlink(entry / "ns" / "pid") != own
                if inside and f"{out.parent.name}/{out.name}/" in (entry / "mountinfo").read_text():
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


def kill_when(process: subprocess.Popen[str], reached: Callable[[], bool], timeout_s: float = 120.0) -> None:
    """SIGKILL the harness as soon as `reached`; fail if it ends or the time is over before."""
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert process.poll() is None, f"ended before it was killed: {process.communicate()}"
        assert time.monotonic() < deadline, "never got there"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
