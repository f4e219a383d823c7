"""GPUs that others use, by a stand-in of `nvidia-smi` that answers as the real one did on an H100 (driver 580)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inferencebench.campaign.executors.contract import Life, Order
from inferencebench.campaign.executors.local import LocalExecutor
from inferencebench.doctor.model import Status
from inferencebench.errors import InfrastructureError
from inferencebench.run import neighbours, preflight

SMI = """#!{python}
import json, sys
gpus = json.load(open("{state}"))
words = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:] if "=" in word)
assert words["format"] == "csv,noheader,nounits"
gpu = gpus[int(words["id"])]
if "query-compute-apps" in words:
    print("\\n".join(map(str, gpu["pids"])))
else:
    print(", ".join(gpu[name] for name in words["query-gpu"].split(",")))
"""
IDLE = {
    "uuid": "GPU-d9ba3f26-45e0-6824-3e4c-436f37e9d0ed",
    "clocks.sm": "345",
    "clocks.max.sm": "1980",
    "temperature.gpu": "41",
    "power.draw": "76.20",
    "memory.used": "0",
    "clocks_throttle_reasons.active": "0x0000000000000001",
    "pids": [],
}


class Gpus:
    """Two GPUs, changed by the test."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "gpus.json"
        self.rows = [dict(IDLE), {**IDLE, "uuid": "GPU-2"}]
        self.set(0)

    def set(self, gpu: int, **values: object) -> None:
        import json

        self.rows[gpu].update({name.replace("__", "."): value for name, value in values.items()})
        self.file.write_text(json.dumps(self.rows))


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gpus:
    found = Gpus(tmp_path)
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text(SMI.format(python=sys.executable, state=found.file))
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{smi.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("INFERENCEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(neighbours, "find_spec", lambda name: None)
    return found


def test_a_gpu_that_is_used_or_taken_starts_no_run(gpus: Gpus, tmp_path: Path) -> None:
    found = {f.name: f for f in preflight.check(tmp_path, tmp_path / "run", (0, 1))}
    assert found["gpu 1"].status is Status.OK
    assert found["gpu 0 clocks"].detail == "SM 345 of 1980 MHz, 41 °C, 76 W"
    gpus.set(1, pids=[447])
    with pytest.raises(InfrastructureError, match="gpu 1: used by pid 447"):
        preflight.check(tmp_path, tmp_path / "run", (0, 1))
    preflight.check(tmp_path, tmp_path / "run", (0,))
    gpus.set(0, memory__used="40000")
    with pytest.raises(InfrastructureError, match=r"gpu 0: .* 39.1 GiB taken by a process that is not visible here"):
        preflight.check(tmp_path, tmp_path / "run", (0,))


def test_heat_is_recorded_and_a_power_cap_is_not_a_fault(gpus: Gpus, tmp_path: Path) -> None:
    gpus.set(0, clocks_throttle_reasons__active="0x0000000000000004")
    gpus.set(1, clocks_throttle_reasons__active="0x0000000000000060", power__draw="[N/A]")
    found = {f.name: f for f in preflight.check(tmp_path, tmp_path / "run", (0, 1))}
    assert found["gpu 0 clocks"].status is Status.OK
    assert found["gpu 1 clocks"].status is Status.WARN
    assert "slowed down: heat, heat (hardware)" in found["gpu 1 clocks"].detail


def test_leases_name_the_device_and_the_host(gpus: Gpus) -> None:
    host = os.uname().nodename
    assert neighbours.device_name(0) == f"device-{host}-GPU-d9ba3f26-45e0-6824-3e4c-436f37e9d0ed"
    assert neighbours.device_name(None) == f"device-{host}"
    gpus.file.unlink()
    assert neighbours.device_name(1) == f"device-{host}-gpu1"


def order(folder: Path, name: str) -> Order:
    code = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep(30)"
    return Order(name, (sys.executable, "-c", code), 1, 60.0, folder / f"{name}.log", {})


def test_each_run_has_a_gpu_of_its_own_and_none_that_another_process_uses(gpus: Gpus, tmp_path: Path) -> None:
    gpus.set(0, pids=[447])
    first, second = LocalExecutor(gpus=(0, 1)), LocalExecutor(gpus=(0, 1))
    try:
        placed = first.place([order(tmp_path, "a"), order(tmp_path, "b")])
        assert list(placed) == ["a"], "GPU 0 is another process's"
        assert first.poll(list(placed.values()))[placed["a"]].where.split()[1] == "gpus=1"
        gpus.set(0, pids=[])
        both = second.place([order(tmp_path, "c"), order(tmp_path, "d")])
        assert list(both) == ["c"], "GPU 1 is leased"
        assert second.poll(list(both.values()))[both["c"]].where.split()[1] == "gpus=0"
    finally:
        first.close()
        second.close()
    assert LocalExecutor(gpus=(0, 1)).free() == 2


def test_the_lease_of_a_killed_driver_is_taken_over(gpus: Gpus, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tests.run.test_neighbours import order;"
        "from inferencebench.campaign.executors.local import LocalExecutor;"
        "print(LocalExecutor(gpus=(0,)).place([order(Path(sys.argv[1]), 'a')])['a'], flush=True); time.sleep(60)"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    driver = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert driver.stdout is not None
    handle = driver.stdout.readline().strip()
    mine = LocalExecutor(gpus=(0,))
    assert mine.place([order(tmp_path, "b")]) == {}
    driver.kill()
    driver.wait()
    placed = mine.place([order(tmp_path, "b")])
    try:
        assert list(placed) == ["b"]
        assert mine.poll([handle])[handle].life in (Life.LOST, Life.RUNNING)
    finally:
        mine.close()
