"""Cores of runs side by side: disjoint blocks of one shape, for what schedulers start and for `local`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from inferencebench.campaign.executors import batch, cores, local
from inferencebench.campaign.executors.batch import command, cpus_asked, write_orders
from inferencebench.campaign.executors.contract import Order
from inferencebench.campaign.executors.cores import Block, blocks, share, take
from inferencebench.campaign.executors.local import LocalExecutor
from inferencebench.doctor.gpu import Gpu, GpuScan
from inferencebench.errors import UserError
from inferencebench.run.machine import shape
from tests.campaign.test_driver import cache

__all__ = ["cache"]

UNBOUND = len(os.sched_getaffinity(0)) == (os.cpu_count() or 1)


def topology(folder: Path, sockets: int, each: int, threads: int) -> Path:
    """A machine whose second threads are numbered after all first ones, as Linux does."""
    for cpu in range(sockets * each * threads):
        path = folder / "topology" / f"cpu{cpu}" / "topology"
        path.mkdir(parents=True)
        core = cpu % (sockets * each)
        (path / "physical_package_id").write_text(f"{core // each}\n")
        (path / "core_id").write_text(f"{core % each}\n")
    return folder / "topology"


MACHINES = [(2, 26, 2), (2, 6, 2), (1, 8, 1), (2, 52, 1), (1, 4, 2)]
"""Sockets, cores of each, threads of each."""


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_every_run_s_share_is_as_good_as_the_others(tmp_path: Path, machine: tuple[int, int, int], count: int) -> None:
    where = topology(tmp_path, *machine)
    cpus = range(machine[0] * machine[1] * machine[2])
    size = share(cpus, count, where)
    found = blocks(cpus, size, where)
    assert len(found) >= count
    assert len({shape(block, where) for block in found}) == 1
    assert len({cpu for block in found for cpu in block}) == len(found) * size, "disjoint"
    physical = [{cpu % (machine[0] * machine[1]) for cpu in block} for block in found]
    shared = sum(map(len, physical)) - len(set().union(*physical))
    assert not shared or size < machine[2], "and no physical core is shared, unless there are more runs than cores"
    assert size * count > len(cpus) * 0.6


@pytest.mark.parametrize("machine", [*MACHINES, (4, 13, 1)])
@pytest.mark.parametrize("devices", [2, 3, 4])
def test_runs_of_several_gpus_find_as_many_blocks_as_the_gpus_allow(
    tmp_path: Path, machine: tuple[int, int, int], devices: int
) -> None:
    where = topology(tmp_path, *machine)
    cpus = range(machine[0] * machine[1] * machine[2])
    size = share(cpus, 8, where, devices=devices)
    assert len(blocks(cpus, size, where)) >= 8 // devices
    assert size <= devices * share(cpus, 8, where)


def test_blocks_stay_on_a_socket_where_one_is_large_enough(tmp_path: Path) -> None:
    where = topology(tmp_path, 2, 6, 1)
    assert blocks(range(12), 4, where) == [(0, 1, 2, 3), (6, 7, 8, 9)]
    assert blocks(range(12), 8, where) == [(0, 1, 2, 3, 4, 5, 6, 7)]
    assert blocks(range(1, 12), 12, where) == []


def test_blocks_of_part_of_a_core_and_of_unlike_cores(tmp_path: Path) -> None:
    where = topology(tmp_path, 1, 2, 2)
    assert blocks(range(4), 1, where) == [(0,), (2,), (1,), (3,)]
    assert blocks(range(4), 3, where) == [(0, 2, 1)]
    odd = topology(tmp_path / "odd", 1, 4, 2)
    assert blocks(range(1, 8), 2, odd) == [(2, 6), (3, 7)], "core 0 lacks a thread: the others are alike"


def test_what_is_taken_is_not_given_twice_and_comes_back(cache: Path) -> None:
    first, second = take(range(4), 2), take(range(4), 2)
    assert first is not None
    assert second is not None
    assert not set(first.cpus) & set(second.cpus)
    assert take(range(4), 2) is None
    assert take(range(4), 4) is None
    first.release()
    assert take(range(4), 4) is None, "half of it is held"
    again = take(range(4), 2)
    assert again is not None
    assert again.cpus == first.cpus
    for block in (again, second):
        block.release()
    whole = take(range(4), 99)
    assert whole is not None
    assert len(whole.cpus) == 4
    whole.release()


def gpus(count: int) -> GpuScan:
    return GpuScan(gpus=(Gpu(name="H100", memory_gib=80.0, driver="1"),) * count, detail="test")


@pytest.mark.parametrize(
    ("devices", "cpus", "wanted"), [(1, None, 2), (2, None, 4), (0, None, 16), (1, 14.0, 14), (0, 0.5, 1)]
)
def test_what_an_order_gets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, devices: int, cpus: float | None, wanted: int
) -> None:
    monkeypatch.setattr(batch, "scan_gpus", lambda: gpus(8))
    write_orders(tmp_path / "o.json", [Order("t", ("true",), devices, 1.0, tmp_path / "t.log", {})], cpus=cpus)
    (row,) = json.loads((tmp_path / "o.json").read_bytes())
    assert batch._wanted(row, range(16)) == wanted


def test_cpus_that_are_no_number_are_refused() -> None:
    assert cpus_asked({"cpus": "2"}) == 2
    assert cpus_asked({}) is None
    with pytest.raises(UserError, match="'many' is not a number of cores"):
        cpus_asked({"cpus": "many"})


SAYS = (
    "import os, sys, time; print(sorted(os.sched_getaffinity(0)), flush=True)\n"
    "while not os.path.exists(sys.argv[1]): time.sleep(0.02)"
)


def wrappers(folder: Path, count: int, prefix: Sequence[str] = ()) -> list[subprocess.Popen[bytes]]:
    """As many runs of one CPU as a scheduler starts on one node; each says what it may use, and ends on demand."""
    todo = [
        Order(f"t{n}", (sys.executable, "-c", SAYS, str(folder / f"end{n}")), 0, 60.0, folder / f"t{n}.log", {})
        for n in range(count)
    ]
    write_orders(folder / "o.json", todo, cpus=1)
    return [subprocess.Popen([*prefix, *command(folder / "o.json", n)]) for n in range(count)]


def said(log: Path, word: str) -> list[int]:
    """The cores that a run says it has, once `word` is in its log."""
    deadline = time.monotonic() + 20
    while not (log.exists() and word in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    found: list[int] = json.loads(log.read_text().splitlines()[-1]) if "]" in log.read_text() else []
    return found


@pytest.mark.skipif(not UNBOUND or (os.cpu_count() or 1) < 2, reason="needs a machine of two cores for itself")
def test_runs_that_a_scheduler_does_not_bind_have_cores_of_their_own(tmp_path: Path, cache: Path) -> None:
    count = os.cpu_count() or 1
    running = wrappers(tmp_path, count)
    found = [said(tmp_path / f"t{n}.log", "]") for n in range(count)]
    assert sorted(found) == [[n] for n in range(count)]
    for n in range(count):
        (tmp_path / f"end{n}").touch()
    assert [process.wait(20) for process in running] == [0] * count


@pytest.mark.skipif(not UNBOUND, reason="needs a machine for itself")
def test_a_run_waits_for_cores_and_says_so(tmp_path: Path, cache: Path) -> None:
    block = take(range(os.cpu_count() or 1), os.cpu_count() or 1)
    assert block is not None
    (process,) = wrappers(tmp_path, 1)
    said(tmp_path / "t0.log", "waits for 1 core that no other run has")
    block.release()
    assert len(said(tmp_path / "t0.log", "]")) == 1
    (tmp_path / "end0").touch()
    assert process.wait(20) == 0


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_a_run_that_was_bound_keeps_its_cores(tmp_path: Path, cache: Path) -> None:
    last = max(os.sched_getaffinity(0))
    running = wrappers(tmp_path, 2, ["taskset", "-c", str(last)])
    assert [said(tmp_path / f"t{n}.log", "]") for n in range(2)] == [[last]] * 2
    for n in range(2):
        (tmp_path / f"end{n}").touch()
    assert [process.wait(20) for process in running] == [0, 0]
    assert not (cache / "leases").exists()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Block]:
    """What `local` takes, on a machine of 16 cores that this one need not have."""
    found: list[Block] = []

    def note(cpus: Sequence[int], size: int, first: int = 0) -> Block | None:
        if block := cores.take(cpus, size, first):
            found.append(block)
        return block

    monkeypatch.setattr(local, "take", note)
    monkeypatch.setattr(local, "foreign_users", lambda gpu: ())
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cpus: None)
    return found


def order(folder: Path, name: str, devices: int) -> Order:
    return Order(name, (sys.executable, "-c", "import time; time.sleep(60)"), devices, 60.0, folder / name, {})


def test_local_runs_of_all_sizes_share_one_set_of_cores(tmp_path: Path, cache: Path, taken: list[Block]) -> None:
    machine = LocalExecutor(gpus=range(4), cores=range(16))
    try:
        one = machine.place([order(tmp_path, "one", 1)])["one"]
        assert machine.place([order(tmp_path, "cpu", 0)]) == {}, "a CPU run needs all cores"
        placed = machine.place([order(tmp_path, "two", 2), order(tmp_path, "last", 1)])
        assert list(placed) == ["two", "last"]
        assert [len(block.cpus) for block in taken] == [4, 8, 4]
        assert len({cpu for block in taken for cpu in block.cpus}) == 16
        machine.cancel([one, *placed.values()])
        (cpu,) = machine.place([order(tmp_path, "cpu", 0)]).values()
        assert machine.place([order(tmp_path, "one", 1)]) == {}, "and all cores are the CPU run's"
        assert len(taken[-1].cpus) == 16
        machine.cancel([cpu])
        assert list(machine.place([order(tmp_path, "one", 1)])) == ["one"], "what was held came back"
    finally:
        machine.close()
