"""`kill -9` of the harness in every phase, then the same command: it completes and equals an uninterrupted run."""

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from inferencebench.run.events import EventLog
from tests.e2e.conftest import TINY, bench, command, kill_when, run_json, sandboxed_processes

MOCK = (Path(__file__).parent / "mock_server.py").read_text()
TOKEN_S = 0.003
"""The mock's own pace."""
SOLVE = """
for i in 1 2 3 4 5 6 7 8 9 10; do echo "step $i"; sleep 0.1; done
cp agent/server.py submission/server.py
truncate -s 300M submission/padding  # so that freezing takes long enough to be hit
echo 'exec "$IB_PYTHON" /workspace/submission/server.py' > submission/start_server.sh
"""
EDITED = """
import inferencebench.run.bench as bench
bench._code_sha256 = lambda: "e" * 64
bench._engine_versions = lambda: {"engine:new": "1.0"}
from inferencebench.cli.main import main
main()
"""
"""The command line, of other code and with another engine."""
SAME = ("suite", "scenario", "agent", "condition", "seed_pair", "outcome", "ranked")
SAME_PROVENANCE = ("suite_sha256", "requests_sha256", "questions_sha256", "submission_sha256", "salt_sha256")


@pytest.fixture
def mock_agent(script: Callable[..., str]) -> str:
    """A script agent whose submission is the mock server."""
    return script("mock", SOLVE, server__py=MOCK)


def _directory(out: Path) -> Path:
    return next(path.parent for path in out.glob("tiny/decode/*mock*/default/21-1337/spec.json"))


def _counts(result: dict[str, Any]) -> list[tuple[str, int, int]]:
    profiles = result["measurement"]["measurements"][0]["profiles"]
    return [(p["profile"], p["requests"], p["succeeded"]) for p in profiles]


def _tpot(result: dict[str, Any]) -> float:
    return float(result["measurement"]["measurements"][0]["tpot_s"])


def _forget(out: Path) -> None:
    """Remove the mock's run, and the answers that its submission shares."""
    shutil.rmtree(_directory(out))
    shutil.rmtree(out / "tiny" / ".quality")


@pytest.mark.timeout(600)  # thirteen starts of the harness
def test_a_run_killed_in_each_phase_completes_to_the_same_record(campaign: Path, mock_agent: str) -> None:
    whole = run_json(campaign, "decode", mock_agent)
    slow = _tpot(run_json(campaign, "decode", "engine:pytorch"))
    argv = command("run", TINY, "decode", mock_agent, "--out", campaign)
    for phase in ("prepare", "solve", "freeze", "measure", "quality", "likelihood"):
        log = _killed_in(phase, argv, campaign)
        again = run_json(campaign, "decode", mock_agent)
        assert {k: again[k] for k in SAME} == {k: whole[k] for k in SAME}, phase
        assert {k: again["provenance"][k] for k in SAME_PROVENANCE} == {
            k: whole["provenance"][k] for k in SAME_PROVENANCE
        }, phase
        assert _counts(again) == _counts(whole), phase
        assert again["quality"]["correct"] == whole["quality"]["correct"], phase
        assert again["baseline"] == whole["baseline"], phase
        assert again["raw_speedup"] == pytest.approx(slow / _tpot(again)), phase
        assert TOKEN_S < _tpot(again) < 4 * TOKEN_S, "measured at the mock's pace"
        starts = [e["phase"] for e in log.read() if e["event"] == "phase_started"]
        assert starts.count(phase) == 2, f"{phase}: {starts}"
        assert len(starts) == len(set(starts)) + 1, f"only the phase in flight is repeated: {starts}"


def test_a_finished_run_is_not_begun_again_after_an_edit_of_our_code(campaign: Path, mock_agent: str) -> None:
    run_json(campaign, "decode", mock_agent, "--repeat", "3")
    record = next(campaign.glob("tiny/decode/*mock*/default/21-1337/r3/result.json"))
    parts = {path: path.read_bytes() for path in record.parent.rglob("*.json*") if "workspace" not in path.parts}
    command_line = command("run", TINY, "decode", mock_agent, "--out", campaign, "--repeat", "3")
    argv = [sys.executable, "-c", EDITED, *command_line[3:]]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert {path: path.read_bytes() for path in parts} == parts


def test_a_real_baseline_killed_while_measuring_completes(tmp_path: Path) -> None:
    (tmp_path / ".salt").write_bytes(bytes(range(32)))
    argv = command("baseline", TINY, "decode", "--out", tmp_path)
    log_path = tmp_path.joinpath("tiny", "decode")
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    kill_when(process, lambda: any(_has_server(p) for p in log_path.glob("*/default/21-1337/events.jsonl")))
    _wait_until_gone(tmp_path)
    done = json.loads(bench("baseline", TINY, "decode", "--out", tmp_path, "--json").stdout)
    assert [(r["outcome"], r["speedup"]) for r in done] == [("passed", 1.0)]


def test_ctrl_c_and_sigterm_leave_nothing(campaign: Path, script: Callable[..., str]) -> None:
    agent = script("sleeps", "sleep 100 & disown; sleep 100")
    argv = command("run", TINY, "decode", agent, "--out", campaign)
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 60
    while not sandboxed_processes(campaign) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert "the same command continues" in output
    assert "Traceback" not in output
    assert not sandboxed_processes(campaign)


def _killed_in(phase: str, argv: list[str], out: Path) -> EventLog:
    """Kill the mock's run, begun anew, in a phase; again where the phase was over before the kill came."""
    log = EventLog(_directory(out) / "events.jsonl")
    for _ in range(3):
        _forget(out)
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        kill_when(process, lambda: _has(log, "phase_started", phase))
        _wait_until_gone(out)
        if not _has(log, "phase_finished", phase):
            return log
    raise AssertionError(f"{phase} was over three times before the kill came")


def _has(log: EventLog, event: str, phase: str) -> bool:
    return any(e["event"] == event and e["phase"] == phase for e in log.read())


def _has_server(path: Path) -> bool:
    return any(e["event"] == "server_ready" for e in EventLog(path).read())


def _teachers(out: Path) -> set[int]:
    """Processes that read texts under the reference for a run in `out`."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = " ".join(process.cmdline())
            if "integrity.teacher" in words and str(out) in words:
                found.add(process.pid)
    return found


def _wait_until_gone(out: Path) -> None:
    deadline = time.monotonic() + 10
    while left := sandboxed_processes(out) | _teachers(out):
        assert time.monotonic() < deadline, f"left after the kill: {left}"
        time.sleep(0.05)
