"""The `local` executor: how it names processes, its time limit, and what it refuses."""

import os
import sys
import time
from pathlib import Path

import pytest

from inferencebench.campaign.executors import local, processes, registry
from inferencebench.campaign.executors.contract import Life, Order
from inferencebench.campaign.executors.local import LocalExecutor
from inferencebench.campaign.model import Campaign, Matrix, Placement
from inferencebench.cli.campaign import run
from inferencebench.doctor.gpu import Gpu, GpuScan
from inferencebench.errors import MissingError
from tests.campaign.test_driver import cache, wait_end
from tests.waiting import wait_for

__all__ = ["cache"]

TOLD = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *a: sys.exit({})); print('up', flush=True);"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def order(folder: Path, code: str, *, limit_s: float = 60.0, devices: int = 0, name: str = "t") -> Order:
    return Order(name, (sys.executable, "-c", code), devices, limit_s, folder / f"{name}.log", {})


def wait_up(folder: Path) -> None:
    wait_for(lambda: "up" in (folder / "t.log").read_text(), 20)


def proc(folder: Path, pid: int, started: int, boot: str, state: str = "S") -> None:
    """A kernel's view of one process; its name holds what splits fields."""
    (folder / str(pid)).mkdir(parents=True, exist_ok=True)
    rest = " ".join(["0"] * 18)
    (folder / str(pid) / "stat").write_text(f"{pid} (a) b) {state} {rest} {started} 0 0\n")
    (folder / "sys/kernel/random").mkdir(parents=True, exist_ok=True)
    (folder / "sys/kernel/random/boot_id").write_text(f"{boot}-ab3e-4b1f\n")


def test_a_process_is_named_without_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes.living(processes.identity(os.getpid())) == os.getpid()
    monkeypatch.setattr(processes, "PROC", tmp_path)
    proc(tmp_path, 7, 4711, "d1a2b3c4")
    name = processes.identity(7)
    assert name == "7@4711-d1a2b3c4"
    assert processes.living(name) == 7
    proc(tmp_path, 7, 4711, "d1a2b3c4", state="Z")
    assert processes.living(name) is None, "it has ended"
    proc(tmp_path, 7, 4712, "d1a2b3c4")
    assert processes.living(name) is None, "the pid is another's"
    proc(tmp_path, 7, 4711, "99999999")
    assert processes.living(name) is None, "another boot's"
    assert processes.living("8@gone") is None
    assert processes.living("x") is None


def test_a_clock_that_steps_loses_no_child(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil adds the boot's time, which moves with the clock, to a process's ticks."""
    first, second = LocalExecutor(1), LocalExecutor(1)
    handle = first.place([order(tmp_path, TOLD.format(0) + "time.sleep(60)")])["t"]
    wait_up(tmp_path)
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: 1.0)
    monkeypatch.setattr("psutil._pslinux.BOOT_TIME", 1.0, raising=False)
    assert second.poll([handle])[handle].life is Life.RUNNING
    second.cancel([handle])
    assert first.poll([handle])[handle][:2] == (Life.ENDED, 0)


@pytest.mark.parametrize("code", [TOLD.format(0) + "time.sleep(60)", TOLD.format(2) + "time.sleep(60)", DEAF])
def test_a_run_beyond_its_limit_is_told_then_killed_and_infrastructure(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(local, "GRACE_S", 0.5)
    executor = LocalExecutor(1)
    handle = executor.place([order(tmp_path, code, limit_s=1.5)])["t"]
    wait_up(tmp_path)
    started = time.monotonic()
    assert wait_end(executor, handle)[:3] == (Life.ENDED, None, "TIMEOUT")
    assert time.monotonic() - started < 10
    assert executor.free() == 1


def test_a_process_that_does_not_listen_is_killed(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "GRACE_S", 0.2)
    executor = LocalExecutor(1)
    handle = executor.place([order(tmp_path, DEAF)])["t"]
    wait_up(tmp_path)
    executor.cancel([handle])
    assert processes.living(handle) is None
    assert executor.free() == 1


def test_a_run_that_finds_no_place_says_what_it_waits_for(tmp_path: Path, cache: Path) -> None:
    first, second = LocalExecutor(1), LocalExecutor(1)
    wide = LocalExecutor(2, cores=(0,))
    sleeps = "import time; time.sleep(60)"
    try:
        assert list(first.place([order(tmp_path, sleeps), order(tmp_path, sleeps, name="other")])) == ["t"]
        assert first.waits() == {"other": "waits for 1 free CPU slot"}
        assert second.place([order(tmp_path, sleeps, devices=2)]) == {}
        assert second.waits() == {"t": "waits for 2 free GPUs"}
        assert wide.place([order(tmp_path, sleeps, name="cores")]) == {}
        assert wide.waits() == {"cores": "waits for 1 core that no other run has"}
        first.close()
        assert list(first.place([order(tmp_path, sleeps, name="other")])) == ["other"]
        assert first.waits() == {}
    finally:
        first.close()
        second.close()


def gpus(monkeypatch: pytest.MonkeyPatch, count: int, visible: str | None = None) -> None:
    """So many GPUs, and what `$CUDA_VISIBLE_DEVICES` says."""
    found = GpuScan(gpus=(Gpu(name="H100", memory_gib=80.0, driver="1"),) * count, detail="test")
    monkeypatch.setattr(registry, "scan_gpus", lambda: found)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)


@pytest.mark.parametrize(("count", "visible"), [(0, None), (0, "0"), (2, "")])
def test_gpus_that_are_not_there_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, visible: str | None
) -> None:
    gpus(monkeypatch, count, visible)
    file = tmp_path / "c.toml"
    file.write_text('name = "t"\n[matrix]\nsuites = ["laptop", "h100-mistral-7b"]\nagents = ["engine:vllm"]\n')
    with pytest.raises(MissingError, match="runs that need 1 GPU, and none is visible here; see"):
        run(file, tmp_path / "out", retry=False, json=True)
    assert not (tmp_path / "out").exists(), "nothing was started"


def test_visible_gpus_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 2, "1")
    matrix = Matrix(suites=("laptop", "h100-mistral-7b"), agents=("engine:vllm",))
    found = registry.get(Campaign(name="t", matrix=matrix), tmp_path).probe()
    assert (found.ok, found.detail.split(", ")[:2]) == (True, ["GPUs 1", "1 CPU slot"])


@pytest.mark.parametrize(
    ("suites", "room"), [(("laptop",), 3), (("h100-mistral-7b",), 2), (("laptop", "h100-mistral-7b"), 5)]
)
def test_places_are_of_the_kinds_that_the_campaign_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suites: tuple[str, ...], room: int
) -> None:
    """GPUs bound no CPU runs, which run without them."""
    gpus(monkeypatch, 2)
    matrix = Matrix(suites=suites, agents=("engine:vllm",))
    executor = registry.get(Campaign(name="t", matrix=matrix, executor=Placement(slots=3)), tmp_path)
    assert executor.free() == room
