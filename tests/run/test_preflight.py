"""Preflight: what is recorded, what keeps a run from starting, and that neighbours are seen."""

import subprocess
import sys
from pathlib import Path

import pytest

from inferencebench.doctor.model import Status
from inferencebench.errors import InfrastructureError
from inferencebench.run import neighbours, preflight


def test_findings_are_recorded_and_read_back(tmp_path: Path) -> None:
    run = tmp_path / "a" / "run"
    found = preflight.check(tmp_path, run, ())
    assert {f.name for f in found} >= {"disk", "memory", "neighbours", "clock", "load", "noise"}
    assert preflight.read(run) == found
    (run / preflight.FILE).write_text('{"half')
    assert preflight.read(run) is None


def test_a_machine_without_space_starts_no_run_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "MIN_DISK_GIB", 1e9)
    with pytest.raises(InfrastructureError, match=r"preflight: disk: .* needed"):
        preflight.check(tmp_path, tmp_path / "run", ())
    recorded = preflight.read(tmp_path / "run")
    assert recorded is not None
    assert [f.name for f in recorded if f.status is Status.MISSING] == ["disk"]


def test_a_busy_neighbour_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "BUSY_SHARE", 0.02)  # of a core that it shares with whatever else runs here
    monkeypatch.setattr(preflight, "LISTED", 1000)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        found = {f.name: f for f in preflight.check(tmp_path, tmp_path / "run", ())}
        assert found["neighbours"].status is Status.WARN
        assert f"pid {busy.pid} " in found["neighbours"].detail
    finally:
        busy.kill()
        busy.wait()


def test_memory_of_ended_processes_is_waited_for_and_then_named(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([(7, 8), (8,), (8,), ()])
    monkeypatch.setattr(neighbours, "foreign_users", lambda gpu: next(looks))
    assert neighbours.still_holding((0,), {7}) == ()
    assert neighbours.still_holding((0,), {8}, timeout_s=0.0) == (8,)
    assert neighbours.still_holding((0,), {8}) == ()
    assert neighbours.still_holding((), {8}) == ()
