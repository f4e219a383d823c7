"""Long work through `measure`: many requests, and long streams side by side, within bounded memory and time."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from inferencebench.load.mock import MockConfig, MockServer

MEMORY_MIB = 300
"""What the client may hold at its peak, interpreter and libraries included."""


@pytest.mark.parametrize(
    ("requests", "tokens", "gap_s", "concurrency"),
    [(10_000, 4, 0.0, 64), (64, 8192, 0.0, 64)],
    ids=["10000 requests", "64 streams of 8192 tokens"],
)
def test_nothing_is_lost_and_memory_is_bounded(
    requests: int, tokens: int, gap_s: float, concurrency: int, tmp_path: Path
) -> None:
    path = tmp_path / "requests.jsonl"
    line = json.dumps({"messages": [{"role": "user", "content": "Go on."}], "max_tokens": tokens, "ignore_eos": True})
    path.write_text(f"{line}\n" * requests)
    with MockServer(MockConfig(0.002, gap_s)) as server:
        got, peak_mib = _measured(f"http://127.0.0.1:{server.port}", path, concurrency)
        sent = server.stop()
    profile = got["profiles"][0]
    assert (got["requests"], got["succeeded"]) == (requests, requests), got["failures"]
    assert profile["output_tokens"] == requests * tokens == sum(len(request.sent_ns) for request in sent[1:])
    assert profile["wall_s"] < 60
    assert peak_mib < MEMORY_MIB


def _measured(url: str, path: Path, concurrency: int) -> tuple[dict[str, Any], float]:
    """The record of a burst, and the peak resident memory of the command in MiB.

    The kernel's high-water mark of the running program: rusage would count this process, which forked it."""
    words = ["measure", url, "--requests", str(path), "--concurrency", str(concurrency), "--json"]
    argv = [sys.executable, "-m", "inferencebench", *words]
    peak_kib = 0
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak_kib = max([peak_kib, *map(int, re.findall(r"VmHWM:\s+(\d+)", status))])
            time.sleep(0.02)
        assert process.stdout is not None
        output = process.stdout.read()
    assert process.returncode == 0
    assert peak_kib > 0
    return json.loads(output), peak_kib / 1024
