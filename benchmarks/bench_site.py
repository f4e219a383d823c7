"""How long the site of 180 runs takes, with transcripts of 10 to 50 MB: a table, then one line of JSON.

Usage: python benchmarks/bench_site.py [runs [MB]]: MB is the largest transcript, 50 if not given; the smallest has a
fifth of it. Makes its records in a temporary directory (5 GB for 180 runs)."""

import contextlib
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.site.campaigns import AGENTS, Row, campaign

LIMIT_S, LIMIT_MIB = 15.0, 1024.0
SAMPLE_S = 0.1
BLOCK = b'{"kind":"result","at_s":90.0,"text":"' + b"INFO engine step " * 240 + b'"}\n'


def timed(records: Path, out: Path) -> tuple[float, float, float]:
    """Wall and CPU seconds of one build, and the peak in MiB of what its processes hold together."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    command = [sys.executable, "-m", "inferencebench", "site", str(records), "-o", str(out)]
    build = psutil.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while build.poll() is None:
        peak = max(peak, held(build))
        time.sleep(SAMPLE_S)
    seconds = time.monotonic() - started
    if build.returncode:
        raise SystemExit(build.returncode)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, peak / 2**20


def held(build: psutil.Process) -> int:
    """Resident bytes of a process and those it started."""
    total = 0
    try:
        for process in (build, *build.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    except psutil.Error:
        return 0
    return total


def rows(count: int) -> tuple[Row, ...]:
    """So many agents: those of the tests, and then the same under numbered names."""
    more = (one._replace(agent=f"{one.agent}-{n}") for n in itertools.count(2) for one in AGENTS[5:])
    return (*AGENTS, *itertools.islice(more, max(0, count - len(AGENTS))))[:count]


def main() -> None:
    """Make the records, build twice, print."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 180
    largest = float(sys.argv[2]) if len(sys.argv) > 2 else 50.0
    with tempfile.TemporaryDirectory(prefix="bench-site-") as folder:
        records, out = Path(folder, "records"), Path(folder, "site")
        runs = campaign(records, rows(max(1, wanted // 12)), requests=128)
        written = 0
        for number, run in enumerate(runs):
            transcript = run / "solve" / "trajectory.jsonl"
            with transcript.open("ab") as file:
                share = 0.2 + 0.8 * (number % 41) / 40
                for _ in range(int(share * largest * 1e6) // len(BLOCK)):
                    file.write(BLOCK)
            written += transcript.stat().st_size
        os.sync()  # What was just written would otherwise be written during the build.
        first, cpu, memory = timed(records, out)
        again, _, _ = timed(records, out)
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{'runs':>8} {'transcripts GB':>15} {'build s':>8} {'again s':>8} {'peak MiB':>9} {'site MB':>8}")
    print(f"{len(runs):>8} {written / 1e9:>15.2f} {first:>8.2f} {again:>8.2f} {memory:>9.0f} {size / 1e6:>8.1f}")
    ok = (first < LIMIT_S or len(runs) > 180) and memory < LIMIT_MIB
    figures = {"runs": len(runs), "transcript_bytes": written, "build_s": first, "rebuild_s": again, "peak_mib": memory}
    figures["build_cpu_s"] = cpu
    print(json.dumps({**figures, "site_bytes": size, "within_limits": ok}))
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
