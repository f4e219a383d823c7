"""Cores and leases."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from inferencebench.doctor.gpu import Gpu, GpuScan
from inferencebench.errors import UserError
from inferencebench.run import baseline, machine, neighbours
from inferencebench.run import bench as bench_module
from inferencebench.run.bench import Bench
from inferencebench.run.machine import Cores, allocate, by_core, devices, lease, shape, visible_devices
from inferencebench.run.salt import campaign_salt
from inferencebench.run.spec import RunSpec
from inferencebench.suites.load import load
from inferencebench.suites.model import Hardware

TINY = Path(__file__).parents[1] / "e2e" / "tiny.toml"
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


@pytest.fixture
def topology(tmp_path: Path) -> Path:
    """Two sockets of two cores with two threads each, numbered as Linux numbers them."""
    for cpu in range(8):
        folder = tmp_path / "topology" / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "physical_package_id").write_text(f"{cpu % 4 // 2}\n")
        (folder / "core_id").write_text(f"{cpu % 2}\n")
    return tmp_path / "topology"


def test_the_threads_of_a_core_stay_together(topology: Path) -> None:
    assert by_core(range(8), topology) == [0, 4, 1, 5, 2, 6, 3, 7]
    assert by_core([7, 3, 0], topology) == [0, 3, 7]
    assert by_core([3, 1, 2], topology / "none") == [1, 2, 3]


def test_a_shape_counts_cpus_cores_and_sockets(topology: Path) -> None:
    assert shape([0], topology) == "1 CPU on 1 core of 1 socket"
    assert shape([0, 4, 1, 5], topology) == shape([2, 6, 3, 7], topology) == "4 CPUs on 2 cores of 1 socket"
    assert shape([0, 1, 2, 3], topology) == "4 CPUs on 4 cores of 2 sockets"
    assert shape([0, 2], topology) == "2 CPUs on 2 cores of 2 sockets", "equal core numbers on two sockets"
    assert shape([5, 6], topology / "none") == "2 CPUs on 2 cores of 1 socket"
    assert shape([], topology) == "0 CPUs on 0 cores of 0 sockets"


def key_on(cores: Cores, out: Path, topology: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The comparability key of a run on these cores."""
    monkeypatch.setattr(bench_module, "shape", partial(shape, topology=topology))
    bench = Bench(load(str(TINY)), out)
    bench.__dict__.update(cores=cores, checkpoint=SimpleNamespace(sha256="c" * 64))
    spec = SimpleNamespace(sandbox="process", is_canonical_baseline=False, share_device=False)
    return bench.comparability(cast(RunSpec, spec), "r" * 64, "q" * 64)


def different(cores: Cores, out: Path, topology: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How a baseline on the first socket's two threads of one core, with the client on the other, differs from a run
    on these cores, as a refusal says it."""
    theirs = key_on(Cores((0, 4), (1,)), out, topology, monkeypatch)
    return baseline._differences(theirs, key_on(cores, out, topology, monkeypatch))


def test_slots_of_one_shape_share_a_baseline_and_others_are_told_what_differs(
    tmp_path: Path, topology: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(server: tuple[int, ...], client: tuple[int, ...]) -> list[str]:
        return different(Cores(server, client), tmp_path, topology, monkeypatch)

    assert said((2, 6), (3,)) == []
    assert said((3, 7), (2,)) == []
    assert said((2, 3), (6,)) == [
        "server_cpus 2 CPUs on 1 core of 1 socket there, 2 CPUs on 2 cores of 1 socket here",
    ]
    assert said((2, 6), (6,)) == [
        "all_cpus 3 CPUs on 2 cores of 1 socket there, 2 CPUs on 1 core of 1 socket here",
    ], "a client on the server's core"


def test_a_refusal_shows_the_beginning_of_a_hash_and_the_whole_of_anything_else() -> None:
    assert baseline._differences({"suite": "a" * 64, "torch": "2.9.0+cu128.dev20251101"}, {"suite": "b" * 64}) == [
        f"suite {'a' * 16} there, {'b' * 16} here",
        "torch 2.9.0+cu128.dev20251101 there, absent here",
    ]


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


UUIDS = (
    "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",
    "GPU-8932fe11-52ab-9d7c-0a31-5e1a5e0c2d47",
    "GPU-d9ba3f26-45e0-6824-3e4c-436f37e9d0ed",
)


@pytest.fixture
def three_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = tuple(Gpu(name="H", memory_gib=80.0, driver="580") for _ in UUIDS)
    monkeypatch.setattr(machine, "scan_gpus", lambda: GpuScan(gpus=gpus, detail="NVML"))
    monkeypatch.setattr(neighbours, "_uuid", UUIDS.__getitem__)


@pytest.mark.usefixtures("three_gpus")
@pytest.mark.parametrize(
    ("visible", "numbers"),
    [
        (",".join(reversed(UUIDS)), (2, 1, 0)),
        ("GPU-d9, GPU-8932fe", (2, 1)),
        ("1,GPU-8932f9", (1, 0)),
        ("", ()),
        ("-1", ()),
        ("2,0,-1,1", (2, 0)),
        ("-1,MIG-1", ()),
    ],
)
def test_visible_gpus_are_numbered_as_cuda_would(
    monkeypatch: pytest.MonkeyPatch, visible: str, numbers: tuple[int, ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_devices() == numbers


@pytest.mark.usefixtures("three_gpus")
@pytest.mark.parametrize(
    ("visible", "reason"),
    [
        ("0,GPU-8932f", "GPU-8932f: begins the UUIDs of GPUs 0, 1; give more of it"),
        ("GPU-77", f"GPU-77: no GPU of this machine; expected one of {', '.join(UUIDS)}"),
        ("MIG-5c8a1b52", "MIG-5c8a1b52: name whole GPUs, by number (0,1) or by UUID (GPU-8932f937)"),
        ("-2", "-2: name whole GPUs, by number (0,1) or by UUID (GPU-8932f937)"),
    ],
)
def test_what_names_no_gpu_is_refused_with_what_would(
    monkeypatch: pytest.MonkeyPatch, visible: str, reason: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(UserError) as caught:
        visible_devices()
    assert str(caught.value) == f"CUDA_VISIBLE_DEVICES: {reason}"


def test_a_uuid_where_there_is_no_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "scan_gpus", lambda: GpuScan(gpus=(), detail="none"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", UUIDS[0])
    with pytest.raises(UserError, match="the driver shows no GPU here"):
        visible_devices()


@pytest.mark.parametrize("visible", ["", "-1", "3", "GPU-1,GPU-2"])
def test_too_few_or_unnumbered_gpus_are_refused(monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES"):
        devices(cuda(2))
