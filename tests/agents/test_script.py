"""The limits of a session: what a script agent prints cannot fill the disk, nor its processes the machine."""

import dataclasses
from pathlib import Path

import pytest

from inferencebench.agents import contract
from inferencebench.agents.contract import SolveSession
from inferencebench.agents.script import ScriptAgent
from inferencebench.run.bench import Bench
from inferencebench.run.clock import Clock
from inferencebench.run.workspace import session_spec
from inferencebench.sandbox import registry
from inferencebench.sandbox.contract import Mount, SandboxSpec
from inferencebench.serve.submission import MAX_PROCESSES
from inferencebench.suites.load import load

TINY = Path(__file__).parents[1] / "e2e" / "tiny.toml"


def _session(folder: Path, budget_s: float) -> SolveSession:
    suite = load(str(TINY))
    for part in ("workspace", "logs"):
        (folder / part).mkdir()
    spec = SandboxSpec(cwd="/workspace", mounts=(Mount(folder / "workspace", "/workspace", writable=True),))
    spec = dataclasses.replace(spec, env={"PATH": "/usr/bin:/bin"})
    scenario = next(iter(suite.scenarios))
    return SolveSession(suite, scenario, folder / "workspace", Clock(budget_s), registry.get(), spec, folder / "logs")


def test_output_is_capped_with_head_and_tail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "CAP_BYTES", 1 << 20)
    script = tmp_path / "solve.sh"
    script.write_text("echo first\nhead -c 20000000 /dev/zero | tr '\\0' x\necho; echo last; echo bad >&2; exit 3\n")
    ended = ScriptAgent(str(script)).solve(_session(tmp_path, 60))
    assert (ended.how, ended.exit_code, ended.survivors) == ("finished", 3, ())
    log = (tmp_path / "logs" / "stdout.log").read_bytes()
    assert log.startswith(b"first\nxxx")
    assert log.endswith(b"xxx\nlast\n")
    assert b"bytes left out here" in log
    assert len(log) < (1 << 20) + (200 << 10)
    assert (tmp_path / "logs" / "stderr.log").read_bytes() == b"bad\n"


def test_logs_are_complete_after_the_deadline(tmp_path: Path) -> None:
    script = tmp_path / "solve.sh"
    script.write_text("echo begun\nexec sleep 600\n")
    ended = ScriptAgent(str(script)).solve(_session(tmp_path, 3))
    assert (ended.how, ended.exit_code, ended.survivors) == ("deadline", None, ())
    assert (tmp_path / "logs" / "stdout.log").read_bytes() == b"begun\n"


def test_the_session_has_a_process_limit(tmp_path: Path) -> None:
    bench = Bench(load(str(TINY)), tmp_path / "out")
    assert session_spec(tmp_path, tmp_path, bench).max_processes == MAX_PROCESSES
