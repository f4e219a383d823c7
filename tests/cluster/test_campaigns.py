"""The same laptop campaign on this machine and on a real Slurm, Ray and HTCondor: 24 runs and a baseline, nodes lost.

What is proved is read from the records: which run worked where and when, how often, and what came out."""

import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pytest

from inferencebench.analysis.statistics import noise_floor
from inferencebench.files import read_jsonl
from tests.cluster.conftest import NODE, RUNNING, lose, start_node, wait_nodes
from tests.cluster.htcondor_pool import SMALL, Pool
from tests.cluster.records import GAP_S, gaps, held, overlaps, placements, spans, speeds

pytestmark = pytest.mark.timeout(900)
SUITE = Path(__file__).parent / "short.toml"
MOCK = Path(__file__).parents[1] / "e2e" / "mock_server.py"
REPEATS = {"local": 3, "slurm": 8, "ray": 8, "htcondor": 8}
SALT = bytes(range(32))
SIGMAS = 3.0
"""Between two cells of two tables that noise alone parts: four are compared, and more is seen once in a hundred."""


SLOTS = "slots = 2\n"
"""Of the local campaign: a core for each run, like those of the two nodes, so that like is compared with like."""


class Running:
    """`campaign run` as a process."""

    def __init__(self, folder: Path, kind: str, options: str = "") -> None:
        self.out, self.file = folder / kind, folder / f"{kind}.toml"
        self.out.mkdir()
        (self.out / ".salt").write_bytes(SALT)
        scripts = ", ".join(f'"script:{folder}/{name}"' for name in ("mock", "broken"))
        self.file.write_text(
            f'name = "{kind}"\n[matrix]\nsuites = ["{SUITE}"]\nagents = ["engine:llamacpp", {scripts}]\n'
            f"repeats = {REPEATS[kind]}\nseed_pairs = [{{ dev = 21, eval = 1337 }}]\n[retry]\nbackoff_s = 1\n"
            f'[executor]\nkind = "{kind}"\n{SLOTS if kind == "local" else ""}[executor.options]\n{options}'
        )
        self.start()

    def start(self) -> None:
        """Start the driver, or start it again."""
        argv = [sys.executable, "-m", "inferencebench", "campaign", "run", str(self.file), "--out", str(self.out)]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def status(self) -> dict[str, Any]:
        """`campaign status --json`."""
        argv = [sys.executable, "-m", "inferencebench", "campaign", "status", str(self.file), "--out", str(self.out)]
        done = subprocess.run([*argv, "--json"], capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def until(self, ready: Callable[[], bool], limit_s: float = 300.0) -> None:
        """Wait for a moment of the campaign; fail if the driver ends before."""
        deadline = time.monotonic() + limit_s
        while not ready():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, "it never came"
            time.sleep(0.2)

    def done(self) -> int:
        """Finished runs."""
        return len(list(self.out.glob("short/decode/*/*/21-1337/**/result.json")))

    def end(self) -> list[dict[str, Any]]:
        """Wait for the driver; the rows of the status, all done."""
        _, stderr = self.process.communicate(timeout=600)
        assert self.process.returncode == 0, stderr[-2000:]
        found = self.status()
        assert found["states"] == {"done": 3 * REPEATS[found["name"]] + 1}, found
        rows: list[dict[str, Any]] = found["tasks"]
        return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the campaigns and their agents lie."""
    made = tmp_path_factory.mktemp("campaigns")
    for name, line in (("mock", 'exec "$IB_PYTHON" /workspace/submission/server.py'), ("broken", "exit 1")):
        (made / name).mkdir()
        (made / name / "server.py").write_text(MOCK.read_text())
        solve = f"cp agent/server.py submission/\necho '{line}' > submission/start_server.sh\n"
        (made / name / "solve.sh").write_text(solve)
    return made


@pytest.fixture(scope="module")
def local(folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """The campaign on this machine, and its rows."""
    running = Running(folder, "local")
    return running.out, running.end()


def check(name: str, out: Path, rows: list[dict[str, Any]], local: tuple[Path, list[dict[str, Any]]]) -> None:
    """No overlap, short gaps, and the table of the local campaign up to the noise of repeats."""
    work = spans(out, rows)
    assert len({span.node for span in work}) >= 2, "both nodes worked"
    assert overlaps(work) == []
    assert overlaps(held(out, rows)) == []
    assert len(held(out, rows)) >= len(rows)
    between = gaps(work)
    local_out, local_rows = local
    outcomes = {row["directory"]: row["outcome"] for row in rows}
    for row in local_rows:
        assert outcomes[row["directory"]] == row["outcome"], row
    assert Counter(row["outcome"] for row in rows if "broken" in row["directory"]) == {"server_failed": REPEATS[name]}
    assert {row["outcome"] for row in rows if "llamacpp" in row["directory"]} == {"passed"}
    ours, theirs = speeds(out, rows), speeds(local_out, local_rows)
    assert ours.keys() == theirs.keys()
    floor = noise_floor([*[v for k, v in ours.items() if "pytorch" not in k], *theirs.values()])
    assert floor is not None
    print(f"\n{name}: {len(rows)} runs, gaps on a node: median {median(between):.1f} s, max {between[-1]:.1f} s")
    print(f"{name}: A/A noise floor of single runs x{floor.factor:.2f} ({floor.repeats} runs)")
    for agent in sorted(ours):
        # Medians of n runs, each table's over a baseline that was measured once.
        sd = floor.log_sd * math.sqrt(2 + math.pi / 2 * (1 / len(ours[agent]) + 1 / len(theirs[agent])))
        ratio, limit = median(ours[agent]) / median(theirs[agent]), math.exp(SIGMAS * sd)
        cells = f"{median(ours[agent]):.3f} raw, local {median(theirs[agent]):.3f}"
        print(f"{name}: {agent[-20:]}: {cells}: {ratio:.3f}, noise up to x{limit:.2f}")
        assert 1 / limit <= ratio <= limit, agent
    assert median(between) < GAP_S


def test_slurm_loses_its_driver_and_a_node_and_requeues(
    slurm: Path, folder: Path, local: tuple[Path, list[dict[str, Any]]]
) -> None:
    running = Running(folder, "slurm", 'gres = "gpu:1"\ncpus = 1\n')

    def began(node: str) -> list[str]:
        """Tasks that run on a node, past their first event."""
        found = []
        for row in running.status()["tasks"]:
            events = running.out / row["directory"] / "events.jsonl"
            if row["state"] == "running" and row["where"] == node and events.exists():
                found.append(row["id"])
        return found

    running.until(lambda: running.done() >= 4)
    running.process.kill()  # the driver dies, its jobs go on
    running.process.wait()
    running.start()
    running.until(lambda: running.done() >= 7 and bool(began("n1")))
    requeued = began("n1")[0]
    handle = next(str(r["handle"]) for r in reversed(placements(running.out)[requeued]) if r["event"] == "placed")
    subprocess.run(["scontrol", "requeue", handle.partition(":")[0]], check=True)
    running.until(lambda: running.done() >= 12 and bool(began("n2")))
    lost = began("n2")[0]
    lose("n2")
    wait_nodes("1 down", limit_s=60)
    RUNNING.append(start_node("n2"))
    rows = running.end()
    again = {row["id"]: row["attempts"] for row in rows if row["attempts"] > 1}
    assert set(again) == {requeued, lost}
    for task in again:
        events = [r["event"] for r in placements(running.out)[task]]
        assert "requeued" in events or events.count("placed") == 2, events
    for row in rows:
        pids = {event["pid"] for event in read_jsonl(running.out / row["directory"] / "events.jsonl")}
        assert len(pids) == row["attempts"], (row, pids)
    check("slurm", running.out, rows, local)


def check_others_had_not_begun(out: Path, rows: list[dict[str, Any]], lost: str) -> None:
    """Ray may have given the lost node actors that waited: they are placed again, and none of them began twice."""
    for row in rows:
        if row["attempts"] > 1 and row["id"] != lost:
            events = placements(out)[row["id"]]
            assert "its node has died" in str(next(r for r in events if r["event"] == "ended")["reason"])
            assert sum(r["event"] == "began" for r in events) == 1, events


def test_ray_loses_a_node(ray_cluster: Any, folder: Path, local: tuple[Path, list[dict[str, Any]]]) -> None:
    extra = ray_cluster.add_node(**NODE)
    running = Running(folder, "ray", f'address = "{ray_cluster.address}"\ncpus = 1\n')
    mark = f"node={extra.node_id[:12]}"

    def there() -> list[str]:
        return [r["id"] for r in running.status()["tasks"] if r["state"] == "running" and mark in r["where"]]

    running.until(lambda: running.done() >= 6 and bool(there()))
    lost = there()[0]
    ray_cluster.remove_node(extra, allow_graceful=False)
    rows = running.end()
    assert next(row for row in rows if row["id"] == lost)["attempts"] == 2
    check_others_had_not_begun(running.out, rows, lost)
    check("ray", running.out, rows, local)


def test_htcondor_loses_its_driver_and_a_node(
    htcondor: Pool, folder: Path, local: tuple[Path, list[dict[str, Any]]]
) -> None:
    options = {**SMALL, "extra": ["job_lease_duration = 20"]}
    running = Running(folder, "htcondor", "".join(f"{name} = {json.dumps(options[name])}\n" for name in options))

    def there() -> list[str]:
        return [r["id"] for r in running.status()["tasks"] if r["state"] == "running" and "@n1@" in r["where"]]

    running.until(lambda: running.done() >= 4)
    running.process.kill()  # the driver dies, its jobs go on
    running.process.wait()
    running.start()
    running.until(lambda: running.done() >= 8 and bool(there()))
    lost = there()[0]
    htcondor.lose("n1")
    rows = running.end()
    assert {row["id"]: row["attempts"] for row in rows if row["attempts"] > 1} == {lost: 2}
    check("htcondor", running.out, rows, local)


def test_no_process_is_left(folder: Path, local: tuple[Path, list[dict[str, Any]]]) -> None:
    """Nothing of any campaign above outlives it."""
    own = os.readlink("/proc/self/ns/pid")
    left = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            foreign = os.readlink(f"/proc/{process.pid}/ns/pid") != own
            mounts = Path(f"/proc/{process.pid}/mountinfo").read_text() if foreign else ""
        except (OSError, psutil.Error):
            continue
        if any(str(folder) in word for word in words) or f"{folder.name}/" in mounts:
            left.append((process.pid, words))
    assert left == []
