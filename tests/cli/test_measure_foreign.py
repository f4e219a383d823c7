"""`measure` and `compare` against a server that shares no code with the client, checked by that server's own log."""

import json
from pathlib import Path

import pytest

from tests.cli.foreign_server import ForeignServer
from tests.cli.test_measure import measured, run

TOKENS = 6


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    """Eight requests that the server can tell apart, 0.3 s apart as a trace."""
    path = tmp_path / "mine.jsonl"
    lines = [
        {"messages": [{"role": "user", "content": f"Say {i}"}], "max_tokens": TOKENS, "timestamp_s": 0.3 * i}
        for i in range(8)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_samples_agree_with_the_servers_own_log(requests: Path, tmp_path: Path) -> None:
    import polars as pl

    with ForeignServer(role_first=True, ttft_s=0.15) as server:
        got = measured(server.url, "--requests", requests, "--samples", tmp_path / "s.parquet", "--warmup", 0)
    assert got["valid"], got["invalid_reasons"]
    chunks = pl.read_parquet(tmp_path / "s.parquet").select("request", "chunk", "t_s", "bytes")
    rows = pl.read_parquet(tmp_path / "s.requests.parquet")
    true_ttft = []
    for i in range(8):
        sent = next(one for one in server.log if one.prompt == str(i))
        mine = chunks.filter(pl.col("request") == f"burst/{i:04d}").sort("chunk")
        assert mine["chunk"].to_list() == list(range(TOKENS)) == list(range(len(sent.chunks_s)))
        late = [there - here for there, here in zip(mine["t_s"], sent.chunks_s, strict=True)]
        assert all(-1e-4 < value < 0.05 for value in late)
        assert mine["bytes"].to_list() == [len(f'{{"choices": [{{"index": 0, "delta": {{"content": " w{k}"}}}}]}}')
                                           for k in range(TOKENS)]  # fmt: skip
        true_ttft.append(sent.chunks_s[0] - sent.received_s)
    # Role-only events came 150 ms before the first token.
    assert got["ttft_s"]["mean"] == pytest.approx(sum(true_ttft) / 8, abs=0.05)
    assert got["ttft_s"]["p50"] > 0.15
    assert len(rows) == 8


def test_the_queue_under_a_cap_by_hand(requests: Path) -> None:
    # Cap 1, service 0.35 + 5 * 0.01 = 0.4 s, arrivals 0.3 s apart: request i waits 0.1 * i s, and as much longer as a
    # busy machine served those before it late, which the server's own log says.
    words = ("--arrival", "trace", "--concurrency", 1, "--limit", 5, "--warmup", 0)
    with ForeignServer(ttft_s=0.35, gap_s=0.01) as server:
        got = measured(server.url, "--requests", requests, *words)
    assert got["succeeded"] == 5
    late = [sent.chunks_s[-1] - sent.received_s - 0.4 for sent in server.log]
    waited = [0.1 * i + sum(late[:i]) for i in range(5)]
    queued = got["latency_scheduled_s"]["mean"] - got["latency_s"]["mean"]
    assert queued == pytest.approx(sum(waited) / 5, abs=0.05)
    assert got["ttft_scheduled_s"]["mean"] - got["ttft_s"]["mean"] == pytest.approx(queued, abs=1e-6)


def test_the_fallback_gives_the_same_metrics(requests: Path) -> None:
    with ForeignServer(ttft_s=0.1, gap_s=0.05) as server:
        by = {name: measured(server.url, "--requests", requests, "--recorder", name) for name in ("auto", "portable")}
    assert (by["auto"]["client"], by["portable"]["client"]) == ("epoll+kernel-stamps", "poll+user-stamps")
    for metric in ("ttft_s", "tpot_s", "latency_s"):
        assert by["portable"][metric]["p50"] == pytest.approx(by["auto"][metric]["p50"], rel=0.2)
    assert by["portable"]["succeeded"] == by["auto"]["succeeded"] == 8
    assert by["portable"]["profiles"][0]["output_tokens"] == by["auto"]["profiles"][0]["output_tokens"]


def test_errors_for_everything_are_a_result(requests: Path) -> None:
    with ForeignServer(status=500) as server:
        got = measured(server.url, "--requests", requests)
    assert (got["valid"], got["requests_per_s"], got["output_tokens_per_s"]) == (False, 0, 0)
    assert got["failures"] == [["http 500", 8]]


def test_a_server_without_a_list_of_models_is_asked_anyway(requests: Path) -> None:
    with ForeignServer(models=False) as server:
        done = run("measure", server.url, "--requests", requests, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["succeeded"] == 8
    assert set(server.models_asked) == {"default"}
    assert "--model" in done.stderr


def test_closed_idle_connections_delay_nothing(requests: Path) -> None:
    with ForeignServer(idle_close_s=0.1, ttft_s=0.01) as server:
        words = ("--arrival", "trace", "--concurrency", 2, "--warmup", 0)
        got = measured(server.url, "--requests", requests, *words)
    assert (got["valid"], got["succeeded"]) == (True, 8)
    # Each came 0.2 s after its connection was closed. A replacement was open by then.
    assert got["latency_scheduled_s"]["p50"] - got["latency_s"]["p50"] < 0.01


def test_compare_finds_the_slower_server(requests: Path, tmp_path: Path) -> None:
    # Twenty times as slow: no busy machine hides that from four repeats.
    with ForeignServer(ttft_s=0.02) as fast, ForeignServer(ttft_s=0.4) as slow:
        words = ("--requests", requests, "--concurrency", 4, "--repeats", 4, "--json", "--slo", "ttft=40ms")
        done = run("compare", fast.url, slow.url, *words, "--out", tmp_path)
        assert done.returncode == 1, done.stderr
        found = json.loads(done.stdout)
        verdicts = {figure["name"]: figure["verdict"] for figure in found["figures"]}
        assert verdicts["ttft_s"] == "worse"
        assert "ttft_s" in found["regressions"]
        assert (found["valid"], found["paired"]) == (True, True)
        # The same server on both sides: nothing is much worse than itself.
        same = run("compare", fast.url, fast.url, *words, "--margin", "1")
        assert same.returncode == 0, same.stdout
    # Both servers stream alike: only their first tokens can be told apart on a busy machine.
    kept = run("compare", tmp_path / "b", tmp_path / "a", "--metric", "ttft_s")
    assert kept.returncode == 0, kept.stderr
    assert "better" in kept.stdout
    mixed = run("compare", fast.url, tmp_path / "a")
    assert (mixed.returncode, len(mixed.stderr.splitlines())) == (2, 1)


def test_goodput_and_cost(requests: Path) -> None:
    with ForeignServer(ttft_s=0.05) as server:
        words = ("--slo", "ttft=1s", "--slo", "tpot=1s", "--usd-per-hour", 3.6)
        got = measured(server.url, "--requests", requests, *words)
        missed = measured(server.url, "--requests", requests, "--slo", "ttft=1ms")
        shown = run("measure", server.url, "--requests", requests, *words)
    assert got["goodput"]["good"] == 8
    assert got["goodput"]["requests_per_s"] == pytest.approx(got["requests_per_s"])
    per_million = got["cost"]["usd_per_million_output_tokens"]
    assert per_million == pytest.approx(1000 / got["output_tokens_per_s"])
    assert missed["goodput"]["requests_per_s"] == 0
    assert "goodput" in shown.stdout
    assert "per million output tokens" in shown.stdout
