"""Cores and leases."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inferencebench.errors import UserError
from inferencebench.run.machine import allocate, by_core, devices, lease
from inferencebench.run.salt import campaign_salt
from inferencebench.suites.model import Hardware

HOLDER = """
import sys, time
from pathlib import Path
from inferencebench.run.machine import lease
with lease(Path(sys.argv[1]), wait=False):
    print("held", flush=True)
    time.sleep(60)
"""


def test_server_and_client_cores_do_not_overlap_where_there_are_two() -> None:
    cores = allocate(Hardware(name="any", kind="cpu", server_cpus=1, client_cpus=1))
    assert len(cores.server) == len(cores.client) == 1
    if len(os.sched_getaffinity(0)) > 1:
        assert not set(cores.server) & set(cores.client)


def test_the_threads_of_a_core_stay_together(tmp_path: Path) -> None:
    """Two sockets of two cores with two threads each, numbered as Linux numbers them."""
    for cpu in range(8):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "physical_package_id").write_text(f"{cpu % 4 // 2}\n")
        (folder / "core_id").write_text(f"{cpu % 2}\n")
    assert by_core(range(8), tmp_path) == [0, 4, 1, 5, 2, 6, 3, 7]
    assert by_core([7, 3, 0], tmp_path) == [0, 3, 7]
    assert by_core([3, 1, 2], tmp_path / "none") == [1, 2, 3]


def test_a_lease_is_exclusive_and_ends_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "device.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="another process"), lease(path, wait=False):
            pass
    finally:
        holder.kill()
        holder.wait()
    waited: list[float] = []
    with lease(path, wait=True, on_wait=lambda: waited.append(time.monotonic())):
        assert not waited


def test_the_salt_is_made_once_kept_private_and_checked(tmp_path: Path) -> None:
    salt = campaign_salt(tmp_path)
    assert len(salt) == 32
    assert campaign_salt(tmp_path) == salt
    assert (tmp_path / ".salt").stat().st_mode & 0o077 == 0
    (tmp_path / ".salt").write_bytes(b"short")
    with pytest.raises(UserError, match="5 bytes instead of 32"):
        campaign_salt(tmp_path)


def cuda(devices: int) -> Hardware:
    return Hardware(name="H", kind="cuda", devices=devices, bandwidth_gb_per_s=1.0, tflops={"bf16": 1.0})


def test_gpus_are_the_visible_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices(cuda(2)) == (0, 1)
    assert devices(Hardware(name="C", kind="cpu")) == ()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6")
    assert devices(cuda(2)) == (3, 5)


@pytest.mark.parametrize("visible", ["", "3", "GPU-1,GPU-2"])
def test_too_few_or_unnumbered_gpus_are_refused(monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES"):
        devices(cuda(2))
