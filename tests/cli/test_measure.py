"""`measure` and `sweep` as a user runs them: against the mock server in every mood, and against a real engine."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inferencebench.load.mock import MockConfig, MockServer
from inferencebench.paths import cache_dir
from inferencebench.sandbox.process import free_port
from tests.cli.foreign_server import ForeignServer

COMMAND = [sys.executable, "-m", "inferencebench"]
WRONG = ["http500", "stall", "reset", "trickle", "garbage", "never-end", "truncate"]
RIGHT = ["ok", "close-after", "drop-after", "role-event-first", "json"]


def run(*words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    argv = [*COMMAND, *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})})


def measured(*words: object) -> dict[str, Any]:
    done = run("measure", *words, "--json")
    assert done.returncode == 0, done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    return value


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    """Six requests of 8 tokens, 20 ms apart as a trace."""
    path = tmp_path / "mine.jsonl"
    line = {"messages": [{"role": "user", "content": "Count."}], "max_tokens": 8, "ignore_eos": True}
    path.write_text("".join(json.dumps(line | {"timestamp_s": 5 + 0.02 * i}) + "\n" for i in range(6)))
    return path


def url(server: MockServer) -> str:
    return f"http://127.0.0.1:{server.port}"


@pytest.mark.parametrize("behaviour", RIGHT)
def test_servers_that_behave(behaviour: str, requests: Path) -> None:
    with MockServer(MockConfig(0.05, 0.002, behaviours=(behaviour,))) as server:
        got = measured(url(server), "--requests", requests)
    assert got["valid"], got["invalid_reasons"]
    assert (got["requests"], got["succeeded"], got["model"], got["warmup_requests"]) == (6, 6, "mock", 1)
    assert got["profiles"][0]["output_tokens"] == 48
    assert {"mean", "p50", "p90", "p99"} <= got["ttft_s"].keys()
    first = 0.05 if behaviour != "json" else 0.05 + 7 * 0.002
    assert first <= got["ttft_s"]["p50"] < first + 0.1
    assert (got["tpot_s"] is None) == (behaviour == "json")
    assert got["requests_per_s"] == pytest.approx(6 / got["profiles"][0]["wall_s"])
    assert got["client"] == "epoll+kernel-stamps"
    assert got["tokens_counted_by"] == "server usage"


@pytest.mark.parametrize("behaviour", WRONG)
def test_servers_that_do_not(behaviour: str, requests: Path) -> None:
    with MockServer(MockConfig(0.02, 0.002, behaviours=(behaviour,))) as server:
        start = time.monotonic()
        got = measured(url(server), "--requests", requests, "--warmup", 0, "--timeout", "1s")
        assert time.monotonic() - start < 20
    assert (got["valid"], got["succeeded"], got["requests_per_s"], got["output_tokens_per_s"]) == (False, 0, 0, 0)
    assert "no successful request" in got["invalid_reasons"][0]
    assert sum(count for _, count in got["failures"]) == 6


@pytest.mark.parametrize(
    ("words", "requests_seen", "most"),
    [
        (["--arrival", "closed", "--concurrency", 3, "--limit", 9], 9, 3),
        (["--arrival", "poisson", "--rate", 100, "--limit", 10], 10, 10),
        (["--rate", 100, "--arrival", "constant", "--duration", "0.1s"], 11, 11),
        (["--arrival", "trace"], 6, 6),
        (["--arrival", "burst", "--concurrency", 2], 6, 2),
    ],
)
def test_arrivals(words: list[object], requests_seen: int, most: int, requests: Path) -> None:
    with MockServer(MockConfig(0.03, 0.002)) as server:
        got = measured(url(server), "--requests", requests, *words)
    assert got["requests"] == got["succeeded"] == requests_seen
    assert 1 <= got["concurrency_max"] <= most


def test_a_closed_load_goes_on_for_its_duration(requests: Path) -> None:
    with MockServer(MockConfig(0.04, 0.001)) as server:
        got = measured(url(server), "--requests", requests, "--duration", "1s", "--concurrency", 4)
    assert got["loads"][0]["arrival"] == "closed"
    # 47 ms a request leave 21 rounds of 4 in a second; a busy machine serves fewer.
    assert 6 < got["requests"] <= 4 * 22
    assert got["requests"] == got["succeeded"]
    assert 0.9 < got["profiles"][0]["wall_s"] < 1.5
    # In a closed loop the end of a request schedules the next: there is no queue to hide.
    assert got["latency_scheduled_s"]["p50"] == pytest.approx(got["latency_s"]["p50"], abs=0.05)


def test_files_and_pictures(requests: Path, tmp_path: Path) -> None:
    import polars as pl

    for ending in ("svg", "html"):
        with MockServer(MockConfig(0.02, 0.002)) as server:
            options = ("--samples", tmp_path / "s.parquet", "--plot", tmp_path / f"p.{ending}")
            got = measured(url(server), "--requests", requests, *options)
            log = server.stop()
        picture = (tmp_path / f"p.{ending}").read_text()
        assert "Requests in flight" in picture
        assert "<script src" not in picture
    chunks, rows = pl.read_parquet(tmp_path / "s.parquet"), pl.read_parquet(tmp_path / "s.requests.parquet")
    assert {"request", "chunk", "t_s", "bytes"} <= set(chunks.columns)
    assert (len(chunks), len(rows)) == (48, got["requests"])
    # The samples are on the server's clock: no chunk comes before its write, none much later.
    sent = sorted(at / 1e9 for row in log[1:] for at in row.sent_ns)
    late = [there - here for there, here in zip(sorted(chunks["t_s"]), sent, strict=True)]
    assert all(-1e-5 < value < 0.1 for value in late)
    received = [row.received_ns / 1e9 for row in log[1:]]
    absolute = sorted(rows["start_s"] + rows["sent_s"])
    assert all(-1e-4 < there - here < 0.1 for there, here in zip(received, absolute, strict=True))


def test_a_sweep_finds_the_knee(requests: Path, tmp_path: Path) -> None:
    with MockServer(MockConfig(0.3, 0.001)) as server:
        words = ("--requests", requests, "--concurrency", "4,1,2", "--limit", 8, "--plot", tmp_path / "s.svg")
        done = run("sweep", url(server), *words, "--json")
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert (got["over"], got["loads"]) == ("concurrency", [1, 2, 4])
    rates = [point["output_tokens_per_s"] for point in got["points"]]
    # The mock serves any number at once: throughput grows with the load, and so does power.
    assert rates == sorted(rates)
    assert (got["knee"], got["knee_reached"]) == (2, False)
    assert "knee" in (tmp_path / "s.svg").read_text()


def test_what_was_measured_before_an_interrupt_is_kept(requests: Path) -> None:
    with ForeignServer(ttft_s=0.02) as server:
        words = ["--requests", str(requests), "--duration", "60s", "--concurrency", "2", "--json"]
        process = subprocess.Popen([*COMMAND, "measure", server.url, *words], stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while len(server.log) < 12:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
    got = json.loads(output)
    assert process.returncode == 130
    assert (got["valid"], got["invalid_reasons"][0]) == (False, "interrupted")
    assert got["succeeded"] > 5


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["http://127.0.0.1:{free}", "--requests", "{file}"], 3, "nothing answers there"),
        (["http://127.0.0.1:{free}", "--requests", "{file}", "--model", "m"], 3, "nothing answers there"),
        (["{url}", "--requests", "{file}", "--api-key-env", "NOT_SET_HERE"], 3, "NOT_SET_HERE"),
        (["127.0.0.1:80", "--requests", "{file}"], 2, "http"),
        (["{url}"], 2, "--suite NAME"),
        (["{url}", "--requests", "nowhere.jsonl"], 2, "nowhere.jsonl"),
        (["{url}", "--suite", "laptop"], 2, "--scenario"),
        (["{url}", "--suite", "lapptop", "--scenario", "decode"], 2, "laptop"),
        (["{url}", "--requests", "{file}", "--arrival", "sometimes"], 2, "expected one of burst"),
        (["{url}", "--requests", "{file}", "--arrival", "poisson"], 2, "needs --rate"),
        (["{url}", "--requests", "{file}", "--duration", "soon"], 2, "not a duration"),
        (["{url}", "--requests", "{file}", "--plot", "p.gif"], 2, ".svg"),
        (["{url}", "--requests", "{file}", "--samples", "s.csv"], 2, ".parquet"),
        (["{url}", "--requests", "{file}", "--tokenizer", "nowhere"], 2, "nowhere"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(words: list[str], code: int, says: str, requests: Path) -> None:
    with MockServer() as server:
        known = {"free": str(free_port()), "file": str(requests), "url": url(server)}
        done = run("measure", *(word.format(**known) for word in words))
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def answers(address: str) -> bool:
    """Whether a server gives what is asked for: one that still loads its model does not."""
    try:
        with urllib.request.urlopen(address, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """llama.cpp on the laptop suite's model, as its engine serves it."""
    from inferencebench.models.store import ensure_checkpoint
    from inferencebench.suites.load import load

    model = load("laptop").model
    checkpoint, port = ensure_checkpoint(model, cache_dir()), free_port()
    argv = [sys.executable, "-m", "inferencebench.engines.llamacpp", "serve", "--model", str(checkpoint.path)]
    argv += ["--served-name", model.id, "--port", str(port), "--gguf-dir", str(cache_dir() / "gguf"), "--threads", "1"]
    log = tmp_path_factory.mktemp("engine") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=output)
    deadline = time.monotonic() + 120
    while not answers(f"http://127.0.0.1:{port}/v1/models"):
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.5)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(30)


def test_a_suites_scenario_on_a_real_engine(engine: str) -> None:
    got = measured(engine, "--suite", "laptop", "--scenario", "throughput", "--limit", 2)
    assert got["valid"], got["invalid_reasons"]
    assert [load["name"] for load in got["loads"]] == ["burst", "poisson", "constant"]
    assert (got["requests"], got["succeeded"]) == (6, 6)
    assert got["source"] == "suite laptop, scenario throughput"
    assert got["tokens_counted_by"].startswith("tokenizer of HuggingFaceTB/SmolLM2")
    assert got["requests_per_s"] > 0


def test_a_suites_prompts_under_another_load_on_a_real_engine(engine: str) -> None:
    words = ("--suite", "laptop", "--scenario", "throughput", "--arrival", "closed", "--concurrency", 2, "--limit", 3)
    got = measured(engine, *words, "--warmup", 0)
    assert got["valid"], got["invalid_reasons"]
    assert (got["requests"], got["concurrency_max"], got["loads"][0]["arrival"]) == (3, 2, "closed")
