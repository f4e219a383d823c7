"""A real Slurm, Ray and HTCondor of two nodes each, with a fake GPU each, private to the test session."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from inferencebench.campaign.executors.contract import Executor, Life, Order, Status
from tests.cluster import htcondor_pool
from tests.cluster.htcondor_pool import Pool

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
# cred_expire: a requeued job waits until its old credential has expired, by default for two minutes.
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=10
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
KillWait=5
MinJobAge=300
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=2 RealMemory=2000 Gres=gpu:1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=2 RealMemory=2000 Gres=gpu:1
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
GRES = "NodeName=n1 Name=gpu File=/dev/zero\nNodeName=n2 Name=gpu File=/dev/full\n"
READY_S = 30.0
END_S = 90.0
RUNNING: list[subprocess.Popen[bytes]] = []
"""Slurm's daemons, also those that a test restarted."""


def order(folder: Path, name: str, code: str, devices: int = 0, limit_s: float = 120.0) -> Order:
    """A line of Python as an order."""
    return Order(name, (sys.executable, "-c", code), devices, limit_s, folder / f"{name}.log", {"IB_TEST": name})


def ended(executor: Executor, handles: dict[str, str]) -> dict[str, Status]:
    """The end of every placement."""
    deadline = time.monotonic() + END_S
    while time.monotonic() < deadline:
        found = executor.poll(list(handles.values()))
        if all(status.life in (Life.ENDED, Life.LOST) for status in found.values()):
            return {task: found[handle] for task, handle in handles.items()}
        time.sleep(0.5)
    raise AssertionError(f"still there: {executor.poll(list(handles.values()))}")


def wait_for(log: Path, word: str) -> None:
    """Until a run's log holds `word`."""
    deadline = time.monotonic() + END_S
    while not (log.exists() and word in log.read_text()):
        assert time.monotonic() < deadline, f"{word!r} never came in {log}"
        time.sleep(0.1)


def _ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cluster's folder; `SLURM_CONF` is set while it runs."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"needs Slurm: {', '.join(missing)} not found (apt-get install slurm-wlm munge)")
    if os.geteuid() != 0:
        pytest.skip("a private Slurm needs root here")
    folder = tmp_path_factory.mktemp("slurm")
    for parent in (folder, folder.parent):
        parent.chmod(0o755)
    (folder / "state").mkdir()
    first, second, port = _ports(3)
    config = CONFIG.format(host=socket.gethostname(), port=port, first=first, second=second, folder=folder)
    (folder / "slurm.conf").write_text(config)
    (folder / "gres.conf").write_text(GRES)
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
    key = folder / "munge.key"
    key.write_bytes(os.urandom(64))
    key.chmod(0o400)
    munge = ["munged", "--foreground", "--force", f"--socket={folder}/munge.sock", f"--key-file={key}"]
    munge += [f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed"]
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    commands = [munge, ["slurmctld", "-D", "-c"], ["slurmd", "-D", "-N", "n1"], ["slurmd", "-D", "-N", "n2"]]
    running = RUNNING
    try:
        for command in commands:
            running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            time.sleep(0.5)
        wait_nodes("2 idle")
        yield folder
    finally:
        for process in reversed(running):
            process.terminate()
        for process in reversed(running):
            process.wait(20)
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before


def start_node(name: str) -> "subprocess.Popen[bytes]":
    """A node's daemon."""
    argv = ["slurmd", "-D", "-N", name]
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_nodes(wanted: str, limit_s: float = READY_S) -> None:
    """Until `sinfo` says `wanted`, as `2 idle` or `1 down`, of some of the nodes."""
    deadline = time.monotonic() + limit_s
    said = ""
    while time.monotonic() < deadline:
        done = subprocess.run(["sinfo", "-h", "-o", "%D %t"], capture_output=True, text=True, check=False)
        said = done.stdout.strip() or done.stderr.strip()
        if wanted in [line.rstrip("*") for line in said.splitlines()]:
            return
        time.sleep(0.3)
    raise AssertionError(f"no {wanted!r} among Slurm's nodes: {said}")


def lose(node: str) -> None:
    """The node loses its power: its daemon, its step daemons and what they started are killed at once."""
    daemon = next(p for p in RUNNING if p.args[0] == "slurmd" and p.args[-1] == node)  # type: ignore[index]
    RUNNING.remove(daemon)
    work = [p for p in psutil.process_iter() if _environment(p).get("SLURMD_NODENAME") == node]
    steps = {parent for p in work for parent in p.parents() if parent.name() == "slurmstepd"}
    daemon.kill()
    for process in [*steps, *work]:
        if process.is_running():
            process.send_signal(signal.SIGKILL)
    daemon.wait()


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


NODE = {"num_cpus": 1, "num_gpus": 1, "resources": {"inferencebench": 1}, "object_store_memory": 80 * 2**20}


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """A Ray cluster of a head without devices and two nodes with one each."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'inferencebench[ray]'")
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 * 2**20},
    )
    cluster.add_node(**NODE)
    cluster.add_node(**NODE)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="session")
def htcondor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """The pool; its commands are on the PATH while it runs."""
    if why := htcondor_pool.missing():
        pytest.skip(why)
    with htcondor_pool.running(tmp_path_factory.mktemp("htcondor"), _ports(1)[0]) as pool:
        yield pool
