"""Faults under a real run: its directory goes away, its disk is full, its clock jumps, it is placed twice."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inferencebench.files import read_jsonl, write_atomic

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]
SUITE = Path(__file__).parent / "short.toml"
MOCK = Path(__file__).parents[1] / "e2e" / "mock_server.py"
SHIFTED = """
import pathlib, time
file, real = pathlib.Path({file!r}), time.time
time.time = lambda: real() + float(file.read_text())
time.time_ns = lambda: int(time.time() * 1e9)
"""
SOLVE = """sleep 4
cp agent/server.py submission/
echo 'TOKEN_S=0.03 exec "$IB_PYTHON" /workspace/submission/server.py' > submission/start_server.sh
"""
DAY_S = 86400


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "inferencebench", *map(str, words)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an agent, a campaign file, and a campaign directory whose baseline is measured."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "mock").mkdir()
    (folder / "mock" / "solve.sh").write_text(SOLVE)
    shutil.copy(MOCK, folder / "mock" / "server.py")
    (folder / "c.toml").write_text(
        f'name = "faults"\n[matrix]\nsuites = ["{SUITE}"]\nagents = ["script:{folder}/mock"]\n'
        "seed_pairs = [{ dev = 21, eval = 1337 }]\n[retry]\nattempts = 8\nbackoff_s = 1\n"
    )
    subprocess.run(command("baseline", SUITE, "decode", "--out", folder / "whole"), check=True)
    subprocess.run(command("campaign", "run", folder / "c.toml", "--out", folder / "whole"), check=True)
    return folder


def baseline_into(base: Path, out: Path) -> None:
    """The measured baseline and its salt, as in a campaign that goes on."""
    (out / "short" / "decode").mkdir(parents=True)
    shutil.copy(base / "whole" / ".salt", out / ".salt")
    source = next((base / "whole" / "short" / "decode").glob("engine-pytorch*"))
    shutil.copytree(source, out / "short" / "decode" / source.name)


def run_of(out: Path) -> Path:
    return next((out / "short" / "decode").glob("*mock-*/default/21-1337"))


def started(out: Path, phase: str) -> bool:
    """Whether the agent's run has begun a phase."""
    for log in (out / "short" / "decode").glob("*mock-*/default/21-1337/events.jsonl"):
        return any(e["event"] == "phase_started" and e["phase"] == phase for e in read_jsonl(log))
    return False


def until(ready: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def same_as_whole(base: Path, out: Path) -> None:
    """The run came to what it comes to undisturbed, and every phase of it is whole once."""
    whole, found = (json.loads((run_of(o) / "result.json").read_bytes()) for o in (base / "whole", out))
    for name in ("outcome", "suite", "agent", "seed_pair", "condition"):
        assert found[name] == whole[name], name
    for name in ("requests_sha256", "questions_sha256", "submission_sha256", "salt_sha256"):
        assert found["provenance"][name] == whole["provenance"][name], name
    assert found["raw_speedup"] == pytest.approx(whole["raw_speedup"], rel=0.3)
    finished = Counter(e["phase"] for e in read_jsonl(run_of(out) / "events.jsonl") if e["event"] == "phase_finished")
    assert set(finished.values()) == {1}, finished


@pytest.fixture
def mounted(base: Path, tmp_path: Path) -> Iterator[Path]:
    """A campaign directory that is a mount of another one, as a shared file system is."""
    behind, out = tmp_path / "behind", tmp_path / "out"
    out.mkdir()
    baseline_into(base, behind)
    mount(behind, out)
    yield out
    subprocess.run(["umount", "-l", str(out)], check=False)


def mount(behind: Path, out: Path) -> None:
    subprocess.run(["mount", "--bind", str(behind), str(out)], check=True)


@pytest.mark.parametrize("phase", ["solve", "measure", "quality"])
def test_the_directory_goes_away_while_a_run_works_and_comes_back(base: Path, mounted: Path, phase: str) -> None:
    argv = command("campaign", "run", base / "c.toml", "--out", mounted)
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until(lambda: started(mounted, phase), process)
    subprocess.run(["umount", "-l", str(mounted)], check=True)
    time.sleep(6)
    mount(mounted.parent / "behind", mounted)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    same_as_whole(base, mounted)


@pytest.mark.parametrize("phase", ["solve", "measure", "quality"])
def test_the_disk_is_full_while_a_run_works(base: Path, tmp_path: Path, phase: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1400m", "tmpfs", str(out)], check=True)
    try:
        baseline_into(base, out)
        argv = command("campaign", "run", base / "c.toml", "--out", out)
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        until(lambda: started(out, phase), process)
        filler = out / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=1M"], check=False, stderr=subprocess.DEVNULL)
        assert os.statvfs(out).f_bavail < 16
        time.sleep(8)
        filler.unlink()
        output, _ = process.communicate(timeout=200)
        assert process.returncode == 0, output
        same_as_whole(base, out)
    finally:
        subprocess.run(["umount", "-l", str(out)], check=True)


def test_the_clock_jumps_while_a_run_works(base: Path, tmp_path: Path) -> None:
    """A day ahead while the agent works, two days back while its server is measured: as the harness reads the clock."""
    out, shift = tmp_path / "out", tmp_path / "shift"
    baseline_into(base, out)
    shift.write_text("0")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SHIFTED.format(file=str(shift)))
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    agent = f"script:{base}/mock"
    argv = command("run", SUITE, "decode", agent, "--out", out, "--json")
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    until(lambda: started(out, "solve"), process)
    write_atomic(shift, str(DAY_S))
    until(lambda: started(out, "measure"), process)
    write_atomic(shift, str(-DAY_S))
    output, error = process.communicate(timeout=200)
    assert process.returncode == 0, error
    result: dict[str, Any] = json.loads(output)
    same_as_whole(base, out)
    assert 4 <= result["cost"]["solve_s"] < 60
    assert 0 < result["cost"]["total_s"] < 200
    times = [event["at"] for event in read_jsonl(run_of(out) / "events.jsonl")]
    assert max(times) - min(times) > DAY_S, "the clock did jump"


def test_the_same_run_placed_twice_is_done_once(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    baseline_into(base, out)
    argv = command("run", SUITE, "decode", f"script:{base}/mock", "--out", out, "--wait", "--json")
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    results = []
    for process in both:
        output, error = process.communicate(timeout=200)
        assert process.returncode == 0, error
        results.append(json.loads(output))
    assert results[0] == results[1]
    same_as_whole(base, out)
    assert len({event["pid"] for event in read_jsonl(run_of(out) / "events.jsonl") if "phase" in event}) == 1
