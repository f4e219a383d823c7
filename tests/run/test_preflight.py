"""Preflight: what is recorded, what keeps a run from starting, and that neighbours are seen."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from inferencebench.cli import run as run_command
from inferencebench.cli import show
from inferencebench.cli.progress import LiveReporter
from inferencebench.doctor.model import Status
from inferencebench.errors import InfrastructureError, UserError
from inferencebench.run import neighbours, pipeline, preflight
from inferencebench.run.bench import Bench
from inferencebench.run.spec import RunSpec
from tests.run.records import result

TINY = Path(__file__).parents[1] / "e2e" / "tiny.toml"


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


def test_a_run_that_is_placed_twice_is_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first one's result instead of finding its server on the GPU."""
    working, finish, waiting = threading.Event(), threading.Event(), threading.Event()
    checked: list[str] = []
    shown: list[Path] = []

    def check(out: Path, directory: Path, gpus: Sequence[int]) -> None:
        checked.append(threading.current_thread().name)
        assert not working.is_set(), "checked beside the first one's server"

    def work(specs: Sequence[RunSpec], bench: Bench) -> list[None]:
        directory = specs[0].directory(bench.out)
        if not (directory / "result.json").exists():
            working.set()
            assert finish.wait(30)
            (directory / "result.json").write_text("{}")
        return [None]

    def note(reporter: LiveReporter, text: str) -> None:
        waiting.set()

    monkeypatch.setattr(preflight, "check", check)
    monkeypatch.setattr(pipeline, "_execute", work)
    monkeypatch.setattr(pipeline, "_judged", lambda *ignored: result(agent="engine:pytorch"))
    monkeypatch.setattr(pipeline, "_forget_failure", lambda directory: None)
    monkeypatch.setattr(LiveReporter, "note", note)
    monkeypatch.setattr(show, "show_result", lambda result, directory: shown.append(directory))
    place = partial(
        run_command.run, str(TINY), "decode", "engine:pytorch",
        out=tmp_path, sandbox="process", wait=True, check_machine=True,
    )  # fmt: skip
    first, second = (threading.Thread(target=place, name=name, daemon=True) for name in ("first", "second"))
    first.start()
    assert working.wait(30)
    with pytest.raises(UserError, match="another process is working here"):
        place(wait=False)
    second.start()
    assert waiting.wait(30)
    finish.set()
    first.join(30)
    second.join(30)
    assert checked == ["first"]
    assert len(shown) == 2


def test_memory_of_ended_processes_is_waited_for_and_then_named(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([(7, 8), (8,), (8,), ()])
    monkeypatch.setattr(neighbours, "foreign_users", lambda gpu: next(looks))
    assert neighbours.still_holding((0,), {7}) == ()
    assert neighbours.still_holding((0,), {8}, timeout_s=0.0) == (8,)
    assert neighbours.still_holding((0,), {8}) == ()
    assert neighbours.still_holding((), {8}) == ()
