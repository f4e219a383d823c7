"""`inferencebench tune` with a real llama.cpp on the base model, and `measure` on what it says to launch.

Minutes: run by `make test-search`."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from inferencebench.models.store import ensure_checkpoint
from inferencebench.paths import cache_dir
from inferencebench.sandbox.process import free_port
from inferencebench.suites import load

pytestmark = pytest.mark.skipif("IB_SLOW" not in os.environ, reason="minutes of a real engine: make test-search")
SUBJECTS = ("rain", "bread", "trains", "the sea", "music", "paper", "glass", "bridges", "maps", "ships")
LOAD = ("--arrival", "closed", "--concurrency", "2", "--duration", "20s")
TTFT_P99_S = 2.0


def _bench(*arguments: object) -> dict[str, object]:
    argv = [sys.executable, "-m", "inferencebench", *map(str, arguments), "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_the_tuned_launcher_keeps_the_bound_when_measured(tmp_path: Path) -> None:
    model = ensure_checkpoint(load.load("laptop-mini").model, cache_dir()).path
    rows = [
        {"messages": [{"role": "user", "content": f"{ask} {subject}."}], "max_tokens": 32, "temperature": 0}
        for ask in ("Write a short story about", "Give three facts about")
        for subject in SUBJECTS
    ]
    requests = tmp_path / "chats.jsonl"
    requests.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = _bench(
        "tune", "--engine", "llamacpp", "--model", model, "--requests", requests, *LOAD, "--objective", "tpot",
        "--slo", f"ttft_p99={TTFT_P99_S}", "--budget", "4m", "--out", tmp_path / "tuned",
    )  # fmt: skip
    assert result["meets_slo"] is True
    assert isinstance(result["improvement"], float)
    assert result["improvement"] > 0.85, "never below the default beyond the noise of a shared machine"
    assert isinstance(result["agreement"], float)
    assert result["agreement"] >= 0.9
    port = free_port()
    server = subprocess.Popen(["sh", str(result["launcher"])], env=os.environ | {"PORT": str(port)})
    try:
        _wait(f"http://127.0.0.1:{port}/v1/models", server)
        measured = _bench("measure", f"http://127.0.0.1:{port}", "--requests", requests, *LOAD)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
    assert measured["valid"], measured["invalid_reasons"]
    ttft = measured["ttft_s"]
    assert isinstance(ttft, dict)
    assert ttft["p99"] <= TTFT_P99_S


def _wait(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert server.poll() is None
        try:
            with urllib.request.urlopen(url, timeout=2) as reply:
                if reply.status == 200:
                    return
        except OSError:
            time.sleep(0.3)
    raise AssertionError("the launcher's server was not ready")
