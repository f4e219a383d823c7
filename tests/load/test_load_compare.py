"""Goodput, cost, comparisons and vLLM's results, by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from load_helpers import sample

from inferencebench.errors import UserError
from inferencebench.load import vllm_bench
from inferencebench.load.compare import Side, compare, figure, figures_of, interleaved
from inferencebench.load.goodput import Slo, cost, goodput, parse_slo
from inferencebench.load.kept import kept_side
from inferencebench.load.metrics import concurrency_over_time
from inferencebench.load.model import Samples
from inferencebench.load.session import MeasureRecord, Work, record


def test_slo_words() -> None:
    assert parse_slo(["ttft=500ms", "tpot=0.04", "latency=5s"]) == Slo(ttft_s=0.5, tpot_s=0.04, latency_s=5.0)
    assert parse_slo([]) is None
    for text in ("ttft", "ttft=0", "ttft=fast", "itl=1", "ttft=1m"):
        with pytest.raises(UserError, match="--slo"):
            parse_slo([text])


def test_goodput_by_hand() -> None:
    # TTFT 1.5 s from the schedule and 1 s from the send, TPOT 0.2 s, latency 3.5 s and 3 s.
    requests = [sample(0), sample(1, first_s=2.4), sample(2, ok=False, error="http 500"), sample(3, end_s=9.0)]
    slo = Slo(ttft_s=1.1, tpot_s=0.3)
    from_send = goodput(requests, slo, 8.0, frozenset(["p"]))
    assert (from_send.good, from_send.share, from_send.requests_per_s) == (1, 0.25, 1 / 8)
    assert goodput(requests, slo, 8.0, frozenset()).good == 0
    assert goodput(requests, Slo(ttft_s=1.6), 8.0, frozenset()).good == 2
    assert goodput(requests, Slo(latency_s=3.0), 8.0, frozenset(["p"])).good == 2
    # One chunk: no TPOT to break.
    assert goodput([sample(end_s=2.0, counted_tokens=1)], slo, 1.0, frozenset(["p"])).good == 1
    assert goodput([], slo, 0.0, frozenset()).requests_per_s == 0


def test_cost_by_hand() -> None:
    # 3 $/h for 1200 s is one dollar, for 22 output and 6 prompt tokens.
    found = cost(3.0, [sample(0), sample(1), sample(2, ok=False)], 22, 1200.0)
    assert found.usd_per_million_output_tokens == pytest.approx(1e6 / 22)
    assert found.usd_per_million_tokens == pytest.approx(1e6 / 28)
    unknown = cost(3.0, [sample(prompt_tokens=0, usage_prompt_tokens=None)], 0, 1200.0)
    assert (unknown.usd_per_million_output_tokens, unknown.usd_per_million_tokens) == (None, None)


def test_concurrency_over_time_by_hand() -> None:
    # One request for the whole of 4 s, another from 1 to 2 s.
    assert concurrency_over_time([(0.0, 4.0), (1.0, 2.0)], parts=4) == pytest.approx((1, 2, 1, 1))
    assert concurrency_over_time([(0.0, 4.0), (1.0, 2.0)], parts=1) == pytest.approx((1.25,))
    assert concurrency_over_time([]) == concurrency_over_time([(1.0, 1.0)]) == ()


def test_a_paired_interval_by_hand() -> None:
    # Log ratios 0.1, 0.2, 0.3: mean 0.2, s = 0.1, t(2) = 4.303.
    a = [1.0, 2.0, 4.0]
    b = [value * math.exp(ratio) for value, ratio in zip(a, (0.1, 0.2, 0.3), strict=True)]
    found = figure("ttft_s", a, b, True, 0.05, True)
    half = 4.303 * 0.1 / math.sqrt(3)
    assert found.slowdown == pytest.approx(math.exp(0.2))
    assert (found.low, found.high) == (pytest.approx(math.exp(0.2 - half)), pytest.approx(math.exp(0.2 + half)))
    # Unpaired, the spread of the repeats themselves swallows it.
    apart = figure("ttft_s", a, b, False, 0.05, True)
    assert apart.slowdown == pytest.approx(found.slowdown)
    assert apart.low is not None
    assert apart.low < found.low < 1.0  # type: ignore[operator]


@pytest.mark.parametrize(
    ("b", "verdict"),
    [
        ((1.20, 1.21, 1.19, 1.20), "worse"),
        ((0.80, 0.81, 0.79, 0.80), "better"),
        ((1.01, 1.00, 0.99, 1.00), "same"),
        ((1.02, 1.03, 1.02, 1.03), "same"),  # sure, but within the margin
        ((0.50, 2.00, 0.70, 1.90), "unsure"),
    ],
)
def test_verdicts(b: tuple[float, ...], verdict: str) -> None:
    a = (1.0, 1.005, 0.995, 1.0)
    assert figure("tpot_s", a, b, True, 0.05, True).verdict == verdict
    opposite = {"worse": "better", "better": "worse"}
    assert figure("requests_per_s", a, b, True, 0.05, True).verdict == opposite.get(verdict, verdict)


def side(name: str, *values: float, **more: float) -> Side:
    return Side(name=name, repeats=tuple({"ttft_s": value, **more} for value in values), invalid_reasons=())


def test_only_judged_figures_are_regressions() -> None:
    slow = compare(side("a", 1.0, 1.01), side("b", 2.0, 2.02), paired=True, margin=0.05)
    assert slow.regressions == ("ttft_s",)
    other = compare(side("a", 1.0, 1.01), side("b", 2.0, 2.02), paired=True, margin=0.05, judged=("tpot_s",))
    assert (other.regressions, other.figures[0].verdict) == ((), "worse")
    # One repeat has no interval, and what only one side knows is not compared.
    single = compare(side("a", 1.0), side("b", 2.0, itl_s=1.0), paired=False, margin=0.05)
    assert [(f.name, f.low, f.verdict) for f in single.figures] == [("ttft_s", None, "unsure")]


def made(**changes: object) -> MeasureRecord:
    return record("http://a", Work("file", "m", ()), Samples([sample(**changes)], []))


def test_repeats_are_interleaved_and_neither_always_first() -> None:
    order = []

    def run(repeat: int, which: int) -> MeasureRecord:
        order.append((repeat, which))
        return made(end_s=4.0 + which)

    a, b = interleaved(3, ("a", "b"), run)
    assert order == [(0, 0), (0, 1), (1, 1), (1, 0), (2, 0), (2, 1)]
    found = compare(a, b, paired=True, margin=0.05)
    assert {f.name: f.slowdown for f in found.figures}["latency_s"] == pytest.approx(4 / 3)
    assert "latency_s" in found.regressions


def detailed(**more: Any) -> dict[str, Any]:
    """What vLLM 0.2x writes with --save-detailed, for two good requests and a failed one."""
    return {
        "date": "20261125-120000", "endpoint_type": "openai-chat", "model_id": "m", "tokenizer_id": "t",
        "num_prompts": 3, "request_rate": 2.0, "burstiness": 1.0, "max_concurrency": None, "duration": 2.0,
        "completed": 2, "failed": 1, "total_input_tokens": 30, "total_output_tokens": 5, "request_throughput": 1.0,
        "request_goodput": None, "output_throughput": 2.5, "total_token_throughput": 17.5,
        "input_lens": [10, 20, 0], "output_lens": [3, 2, 0], "ttfts": [0.1, 0.2, 0.0],
        "itls": [[0.05, 0.07], [0.1], []], "start_times": [50.0, 51.0, 51.5], "generated_texts": ["a", "b", ""],
        "errors": ["", "", "Traceback\nConnectionResetError: gone"],
        "mean_ttft_ms": 150.0, "median_ttft_ms": 150.0, "std_ttft_ms": 50.0, "p99_ttft_ms": 199.0,
        "mean_tpot_ms": 80.0, "p99_tpot_ms": 99.0, "mean_itl_ms": 73.3, "p99_itl_ms": 99.0,
    } | more  # fmt: skip


def test_vllms_details_give_our_metrics(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text(json.dumps(detailed()))
    value = vllm_bench.read(path)
    found = record("x", vllm_bench.work(path, value), vllm_bench.samples(path, value))
    assert (found.requests, found.succeeded, found.valid) == (3, 2, False)
    assert found.failures == (("ConnectionResetError: gone", 1),)
    assert found.ttft_s is not None
    assert found.ttft_s.mean == pytest.approx(0.15)
    assert found.tpot_s is not None
    assert found.tpot_s.mean == pytest.approx((0.06 + 0.1) / 2)
    assert found.itl_s is not None
    assert found.itl_s.mean == pytest.approx((0.05 + 0.07 + 0.1) / 3)
    assert found.requests_per_s == pytest.approx(2 / 1.5)
    assert (found.client, found.calibration) == ("vllm bench serve", None)
    assert (found.loads[0].arrival, found.loads[0].rate_per_s) == ("poisson", 2.0)


def test_kept_records_of_both_kinds(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs.json"
    ours.mkdir()
    for name in ("01", "02"):
        (ours / f"{name}.json").write_text(made().model_dump_json())
    summary = {k: v for k, v in detailed(failed=0).items() if not isinstance(v, list)}
    theirs.write_text(json.dumps(summary))
    a, b = kept_side(ours), kept_side(theirs)
    assert a.repeats == (figures_of(made()),) * 2
    assert (b.repeats[0]["ttft_s"], b.repeats[0]["tpot_p99_s"], b.invalid_reasons) == (0.15, 0.099, ())
    found = compare(a, b, paired=False, margin=0.05)
    assert {f.name for f in found.figures} >= {"ttft_s", "tpot_s", "requests_per_s", "output_tokens_per_s"}
    theirs.write_text(json.dumps(detailed()))
    assert kept_side(theirs).invalid_reasons == ("1 of 3 requests failed",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("{}", "neither a record"),
        (json.dumps({k: v for k, v in detailed().items() if k != "start_times"}), "--save-detailed"),
        (json.dumps(detailed(itls=[[]])), "differ in length"),
        (json.dumps(detailed(ttfts=[0.1, None, 0.0])), "request 1"),
    ],
)
def test_other_files_are_named(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text(text)
    with pytest.raises(UserError, match=says):
        taken(path)


def taken(path: Path) -> Samples:
    kept_side(path)
    return vllm_bench.samples(path, vllm_bench.read(path))
