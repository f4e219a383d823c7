"""A search of a real llama.cpp through the whole pipeline, killed on the way and started again.

Minutes: run by `make test-search`."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif("IB_SLOW" not in os.environ, reason="minutes of a real engine: make test-search")
AGENT = "search:tpe?engine=llamacpp"
BUDGET_S = 240


def _command(out: Path) -> list[str]:
    options = ["--budget", f"{BUDGET_S}s", "--out", str(out), "--share-device", "--json"]
    return [sys.executable, "-m", "inferencebench", "run", "laptop-mini", "decode", AGENT, *options]


def _journal(out: Path) -> list[dict[str, object]]:
    found = list(out.rglob("search-journal.jsonl"))
    lines = found[0].read_bytes().split(b"\n")[1:-1] if found else []
    return [row for line in lines if (row := json.loads(line))["reading"] is not None]


def test_a_killed_search_goes_on_and_ends_as_a_submission(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(_command(out), stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + 420
    while len(_journal(out)) < 2:
        assert process.poll() is None, (tmp_path / "log").read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = _journal(out)
    done = subprocess.run(_command(out), capture_output=True, text=True, timeout=560, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    after = _journal(out)
    assert after[: len(before)] == before
    assert sum(row["kind"] == "default" for row in after) == 1
    (run,) = (path.parent for path in out.rglob("search-journal.jsonl"))
    session = json.loads((run / "solve" / "session.json").read_bytes())
    assert len(session["evaluations"]) == len(after), "evaluations of both sessions"
    assert BUDGET_S * 0.5 < session["seconds"] < BUDGET_S * 1.1, "time before the kill counts"
    outcome = json.loads((run / "solve" / "search" / "outcome.json").read_bytes())
    parts = sum(outcome[name] for name in ("launch_s", "measure_s", "gate_s", "other_s"))
    assert parts == pytest.approx(outcome["elapsed_s"])
    for name in ("report.html", "search.svg", "trials.json", "pareto.json", "start_server.sh"):
        assert (run / "solve" / "search" / name).stat().st_size > 0
    submitted = (run / "freeze" / "submission" / "start_server.sh").read_text()
    assert submitted == (run / "solve" / "search" / "start_server.sh").read_text()
    result = json.loads((run / "result.json").read_bytes())
    assert result["outcome"] in ("passed", "quality_failed", "review_pending")
