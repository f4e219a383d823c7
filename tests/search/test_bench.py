"""The benchmark's last line, in a short form: what tools read of it."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bench_search.py"


def test_the_last_line_is_the_table_as_json() -> None:
    argv = [sys.executable, str(SCRIPT), "--seeds", "2", "--methods", "paper-random,random"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {"methods", "default"}
    assert set(found["methods"]) == {"paper-random", "random"}
    for cells in found["methods"].values():
        assert set(cells) == {"B", "C"}
        for cell in cells.values():
            assert set(cell) == {"regret_pct", "gate_fail_pct", "below_default_pct", "crash_time_pct"}
    assert found["methods"]["random"]["B"]["regret_pct"] < found["methods"]["paper-random"]["B"]["regret_pct"]
