"""`kill -9` of the harness ends all that it started, daemons included."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inferencebench.sandbox import registry
from tests.sandbox.conftest import DAEMONS, control_groups, marked
from tests.waiting import wait_for

HARNESS = """
import sys, time
from pathlib import Path
from inferencebench.sandbox import registry
from inferencebench.sandbox.contract import Mount, SandboxSpec
from inferencebench.sandbox.environment import engine_view
name, work, code, marker = sys.argv[1:]
view = engine_view()
spec = SandboxSpec(
    cwd="/workspace/submission",
    mounts=(*view.mounts, Mount(Path(work), "/workspace/submission", writable=True)),
    memory_bytes=1 << 30,
    max_processes=200,
)
with open("/dev/null", "wb") as null:
    argv = ["/opt/ib/bin/python", "-I", "-S", "-c", code, "inside-" + marker]
    process = registry.get(name).start(spec, argv, null, null)
groups = [line.rpartition("/")[2] for line in open(f"/proc/{process.pids()[0]}/cgroup").read().split()]
print(process.pid, *(group for group in groups if group.startswith("inferencebench-")), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("name", registry.names())
def test_harness_death_ends_everything(name: str, tmp_path: Path) -> None:
    if not registry.probe(name).ok:
        pytest.skip(f"{name}: {registry.probe(name).detail}")
    marker = f"marker-{tmp_path}"
    command = [sys.executable, "-c", HARNESS, name, str(tmp_path), DAEMONS, marker]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as harness:
        assert harness.stdout is not None
        pid, *groups = harness.stdout.readline().split()
        warden = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        wait_for(lambda: len(list(tmp_path.iterdir())) == 3)
        assert len(marked(f"inside-{marker}")) >= 4
        os.kill(harness.pid, signal.SIGKILL)
    wait_for(lambda: not marked(f"inside-{marker}"), timeout_s=5)
    wait_for(lambda: _ended(warden), timeout_s=5)
    for group in groups:
        assert not control_groups(group)


def _ended(pid: int) -> bool:
    """Gone, or dead and not yet looked at by the machine's first process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
