"""Tuning a real process on real traffic: bounds, crashes and hangs, a kill, and what is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from inferencebench.errors import InfrastructureError, UserError
from inferencebench.search import tune
from inferencebench.search.journal import Journal
from inferencebench.search.slo import parse, worst_excess
from inferencebench.search.trials import Kind, Status
from tests.search.fake_engine import FakeEngine
from tests.search.tune_fake import request

ROOT = Path(__file__).parents[2]
BUDGET_S = 60.0
"""More than the search needs, which has then tried everything."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A model's directory and some traffic; nothing of the engine may run afterwards."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    rows = [{"messages": [{"role": "user", "content": f"number {n:03d}"}], "max_tokens": 12} for n in range(20)]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    yield tmp_path
    deadline = time.monotonic() + 10
    while left := _servers(tmp_path):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.1)


def _servers(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in process.environ().get("MODEL_PATH", "") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def _run(folder: Path) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-m", "tests.search.tune_fake", str(folder), str(BUDGET_S), "ttft_p99=2000ms"]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_crash_and_a_hang_cost_seconds_and_a_wrong_server_is_refused(folder: Path) -> None:
    result, out = tune.tune(request(folder, BUDGET_S, "ttft_p99=2"))
    entries = Journal(out / "journal.jsonl", json.loads((out / "journal.jsonl").read_text().splitlines()[0])["head"])
    seen = {e.candidate.configuration.get("mode"): e.reading for e in entries.entries}
    told = {"crash": "out of memory", "hang": "hangs", "stall": "answers no request of the warm-up"}
    for mode, reason in told.items():
        reading = seen[mode]
        assert reading is not None
        assert reading.status is Status.CRASHED
        assert reason in reading.reason
        assert reading.seconds < FakeEngine.startup.ready_s, "seconds, not what a server may take to start"
    assert result.candidate.configuration == {"mode": "fast"}
    assert result.meets_slo
    assert result.improvement is not None
    assert result.improvement > 1.3
    assert result.agreement == 1.0
    assert result.search.elapsed_s + result.verify_s <= BUDGET_S + 10, "the budget, and servers that end"
    assert result.agrees
    assert {e.kind for e in entries.entries} >= {Kind.DEFAULT, Kind.PRESET, Kind.VERIFICATION}
    *_, last = entries.entries
    assert (last.kind, last.candidate.configuration) == (Kind.VERIFICATION, {})
    assert last.reading is not None
    assert last.reading.gate is None, "the default is measured beside the choice, not asked what it answered before"
    for name in ("report.html", "search.svg", "search.html", "trials.json", "pareto.json", "tuned.json"):
        assert (out / name).stat().st_size > 0
    assert not (out / "scratch").exists()
    script = Path(result.launcher).read_text()
    assert "--mode" in script
    assert str(folder / "model") in script
    assert tune.tune(request(folder, BUDGET_S, "ttft_p99=2"))[0] == result, "a finished search is shown, not repeated"


def test_bounds_that_nothing_keeps_are_said_to_be_broken(folder: Path) -> None:
    result, _ = tune.tune(request(folder, 12, "tpot_mean=0.01ms"))
    assert not result.meets_slo
    assert result.closest is not None
    assert [(b.name, b.met) for b in result.slo] == [("tpot_mean", False)]


def test_a_default_that_does_not_serve_ends_the_search(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeEngine, "launcher", lambda *_: "#!/bin/sh\nexit 3\n")
    with pytest.raises(InfrastructureError, match="the default does not serve this traffic: it ended with exit code 3"):
        tune.tune(request(folder, 20))


def test_a_killed_search_continues_with_its_journal(folder: Path) -> None:
    process = _run(folder)
    deadline = time.monotonic() + 40
    while not (found := _finished(folder)) or len(found) < 3:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = _finished(folder)
    output, _ = (again := _run(folder)).communicate(timeout=2 * BUDGET_S)
    assert again.returncode == 0, output
    after = _finished(folder)
    assert after[: len(before)] == before, "what was measured is kept"
    assert len(after) > len(before)
    assert sum(e["kind"] == Kind.DEFAULT for e in after) == 1, "the default is not measured again"
    times = [e["at_s"] for e in after]
    assert times == sorted(times), "time before the kill counts"


def test_an_interrupt_leaves_nothing(folder: Path) -> None:
    process = _run(folder)
    while len(_servers(folder)) < 1:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert not _servers(folder)
    assert not list(folder.glob("out/*/scratch"))


def _finished(folder: Path) -> list[dict[str, object]]:
    for path in folder.glob("out/*/journal.jsonl"):
        rows = [json.loads(line) for line in path.read_bytes().split(b"\n")[1:-1]]
        return [row for row in rows if row["reading"] is not None]
    return []


@pytest.mark.parametrize(
    ("text", "metric", "bound"),
    [
        ("ttft_p99=0.5", "ttft_p99_s", 0.5),
        ("tpot_mean=40ms", "tpot_mean_s", 0.04),
        ("requests_per_s=2", "requests_per_s", 2),
    ],
)
def test_bounds_are_read(text: str, metric: str, bound: float) -> None:
    slo = parse(text)
    assert (slo.metric, slo.bound) == (metric, pytest.approx(bound))
    kept, broken = (bound * 2, bound / 2) if slo.is_rate else (bound / 2, bound * 2)
    assert worst_excess([slo], {metric: kept}) < 0 < worst_excess([slo], {metric: broken})
    assert worst_excess([slo], {}) == 1.0


@pytest.mark.parametrize("text", ["ttft=1", "ttft_p99", "ttft_p99=-1", "ttft_p99=fast", "requests_per_s=2ms", ""])
def test_wrong_bounds_are_told(text: str) -> None:
    with pytest.raises(UserError, match="--slo"):
        parse(text)
