"""The checks on synthetic recordings: every cheat is a named case with its check, and honest servers pass."""

import math
import random
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferencebench.doctor.hardware import Peaks
from inferencebench.engines.registry import forces_length
from inferencebench.errors import UserError
from inferencebench.gates.integrity import Evidence, Verdict, checks, run_checks
from inferencebench.gates.integrity.grading import grade
from inferencebench.gates.integrity.model import AuditBand
from inferencebench.gates.integrity.rooflines import roof, tpot_floor_s, ttft_floor_s
from inferencebench.gates.integrity.tokens import calibrate_band
from inferencebench.load.model import RequestSample
from inferencebench.suites import load as suites
from inferencebench.workload.model import Message, SpeedRequest

CPU = Peaks(tflops={"f32": 0.83, "bf16": 1.66, "int8": 3.33}, bandwidth_gb_per_s=1664, provenance="2 cores, AVX-512")
WORDS = "river stone lamp cloud paper engine winter garden silver window travel number letter market forest signal"


def text_of(number: int) -> str:
    """Forty words that differ from request to request."""
    return " ".join(random.Random(number).choices(WORDS.split(), k=40))


def planned(scenario, range_ratio=0.8):
    rows = []
    for profile in scenario.profiles:
        for i in range(profile.requests):
            share = range_ratio + (1 - range_ratio) * (i % 7) / 6
            rows.append(
                SpeedRequest(
                    id=f"{profile.name}/{i:04d}",
                    profile=profile.name,
                    messages=(Message(role="user", content=f"nonce {i}"),),
                    prompt_tokens=math.ceil(share * scenario.input_tokens),
                    max_tokens=math.ceil(share * scenario.output_tokens),
                    temperature=scenario.temperature,
                    seed=i,
                    offset_s=0.0,
                )
            )
    return tuple(rows)


def sample(request, number, ttft_s, tpot_s, sent_s):
    first = sent_s + ttft_s
    return RequestSample(
        id=request.id,
        profile=request.profile,
        ok=True,
        error=None,
        status=200,
        scheduled_s=sent_s,
        sent_s=sent_s,
        first_s=first,
        end_s=first + tpot_s * (request.max_tokens - 1),
        prompt_tokens=request.prompt_tokens,
        max_tokens=request.max_tokens,
        usage_prompt_tokens=request.prompt_tokens,
        usage_completion_tokens=request.max_tokens,
        cached_tokens=0,
        output_tokens=request.max_tokens,
        counted_tokens=request.max_tokens,
        first_chunk_tokens=1,
        finish_reason="length",
        text=text_of(number),
        chunks=request.max_tokens,
    )


SUITES = {name: suites.load(name) for name in suites.names()}


def measured(suite_name, scenario_name, ttft_s_per_token, tpot_s):
    """A server with these speeds that works through the plan, `concurrency` requests at a time."""
    suite = SUITES[suite_name]
    scenario = suites.scenario(suite, scenario_name)
    plan = planned(scenario, suite.range_ratio)
    samples = []
    for profile in scenario.profiles:
        free = [0.0] * profile.concurrency
        for request in (r for r in plan if r.profile == profile.name):
            slot = free.index(min(free))
            done = sample(request, len(samples), ttft_s_per_token * request.prompt_tokens, tpot_s, free[slot])
            free[slot] = done.end_s
            samples.append(done)
    return Evidence(suite, scenario, CPU, tuple(samples), (), plan, survivors=())


def changed(evidence, change, every=1):
    """The evidence with `change(sample, number)` applied to every n-th request."""
    rows = [s.model_copy(update=change(s, i)) if i % every == 0 else s for i, s in enumerate(evidence.requests)]
    return replace(evidence, requests=tuple(rows))


def caught_by(evidence, verdict=Verdict.FAIL):
    result = run_checks(evidence)
    return {c.name for c in result.checks if c.verdict is verdict}


HONEST = {
    "vLLM fp8 on an H100, prefill": ("h100-mistral-7b", "prefill", 0.166 / 7300, 2.7e-3),
    "vLLM with speculation, decode": ("h100-mistral-7b", "decode", 0.166 / 7300, 0.6e-3),
    "vLLM fp8, high load": ("h100-mistral-7b", "throughput", 1e-3, 5.5e-3),
    "SGLang, balanced": ("h100-mistral-7b", "balanced", 5e-5, 4e-3),
    "naive PyTorch on an H100": ("h100-qwen3-8b", "prefill", 6e-5, 41e-3),
    "naive PyTorch on a laptop": ("laptop", "prefill", 3.7e-3, 85e-3),
    "llama.cpp on a laptop, decode": ("laptop", "decode", 4e-3, 10e-3),
    "llama.cpp, smallest suite": ("laptop-mini", "decode", 2.6e-3, 10e-3),
    "bf16 PyTorch, smallest suite": ("laptop-mini", "throughput", 1.5e-3, 70e-3),
    "random weights": ("h100-random-7b", "balanced", 5e-5, 4e-3),
}


@pytest.mark.parametrize("speeds", HONEST.values(), ids=HONEST)
def test_honest_servers_pass_every_check(speeds):
    result = run_checks(measured(*speeds))
    assert {c.name: c.reason for c in result.checks if c.verdict not in (Verdict.PASS, Verdict.NOT_APPLICABLE)} == {}
    assert result.verdict is Verdict.PASS


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["h100-mistral-7b", "h100-deepseek-v2-lite", "laptop", "laptop-mini"]),
    st.sampled_from(["prefill", "decode", "balanced"]),
    st.floats(1.0, 1e3),
    st.floats(1.0, 1e3),
)
def test_no_server_at_or_above_its_floors_is_failed(suite_name, scenario_name, slow_prefill, slow_decode):
    suite = SUITES[suite_name]
    limit = roof(suite.hardware, CPU)
    prefill = ttft_floor_s(suite.model, limit, 1).hard * slow_prefill * 1.0001
    decode = tpot_floor_s(suite.model, limit).hard * slow_decode * 1.0001
    evidence = measured(suite_name, scenario_name, prefill, decode)
    # The ceiling on requests per second counts attention too, which these invented servers leave out.
    assert caught_by(evidence) <= {"request-rate-ceiling"}


def fast_first(evidence):
    return changed(evidence, lambda s, i: {"first_s": s.sent_s + 0.0028})


def nanoseconds(evidence):
    return changed(evidence, lambda s, i: {"end_s": s.first_s + 6.4e-9 * (s.max_tokens - 1)})


def one_chunk(evidence):
    return changed(
        evidence,
        lambda s, i: {
            "first_s": s.sent_s + 0.004,
            "end_s": s.sent_s + 0.004,
            "chunks": 1,
            "first_chunk_tokens": s.output_tokens,
        },
    )


def early_eos(evidence):
    return changed(
        evidence,
        lambda s, i: {
            "output_tokens": s.max_tokens // 5,
            "counted_tokens": s.max_tokens // 5,
            "usage_completion_tokens": s.max_tokens // 5,
            "finish_reason": "stop",
        },
        every=2,
    )


def usage_inflate(evidence):
    return changed(evidence, lambda s, i: {"output_tokens": s.max_tokens // 5, "counted_tokens": s.max_tokens // 5})


def canned_text(evidence):
    return changed(evidence, lambda s, i: {"text": text_of(1)}, every=2)


def truncate_prompt(evidence):
    return changed(evidence, lambda s, i: {"usage_prompt_tokens": s.prompt_tokens // 2})


def survivor_daemon(evidence):
    return replace(evidence, survivors=(4242,))


CHEATS = {
    "sub-3-ms first token at 8k tokens": (fast_first, "h100-mistral-7b", "ttft-floor"),
    "sub-3-ms first token on a laptop": (fast_first, "laptop", "ttft-floor"),
    "6.4 ns per token": (nanoseconds, "h100-mistral-7b", "tpot-floor"),
    "6.4 ns per token on a laptop": (nanoseconds, "laptop-mini", "tpot-floor"),
    "everything at once in one chunk": (one_chunk, "h100-mistral-7b", "latency-floor"),
    "early EOS": (early_eos, "h100-mistral-7b", "forced-length"),
    "early EOS on a laptop": (early_eos, "laptop", "forced-length"),
    "inflated usage": (usage_inflate, "h100-mistral-7b", "token-audit"),
    "inflated usage on a laptop": (usage_inflate, "laptop-mini", "token-audit"),
    "canned text": (canned_text, "h100-mistral-7b", "canned-text"),
    "truncated prompt": (truncate_prompt, "laptop", "prompt-audit"),
    "surviving daemon": (survivor_daemon, "laptop", "surviving-processes"),
}


@pytest.mark.parametrize(("cheat", "suite", "check"), CHEATS.values(), ids=CHEATS)
def test_cheats_are_failed_by_their_check(cheat, suite, check):
    speeds = (2.3e-5, 4e-3) if suite.startswith("h100") else (3.7e-3, 85e-3)
    honest = measured(suite, "prefill", *speeds)
    assert run_checks(honest).verdict is Verdict.PASS
    result = run_checks(cheat(honest))
    assert result.verdict is Verdict.FAIL
    found = next(c for c in result.checks if c.name == check)
    assert found.verdict is Verdict.FAIL
    assert found.sample_size > 0
    assert found.reason


def test_impossible_request_rate_is_failed():
    honest = measured("h100-mistral-7b", "throughput", 1e-3, 5e-3)
    rushed = changed(honest, lambda s, i: {"sent_s": 0.02 * i / 16, "end_s": 0.02 * i / 16 + 0.09})
    assert "request-rate-ceiling" in caught_by(rushed)


def test_a_common_opening_asks_for_review():
    honest = measured("h100-mistral-7b", "prefill", 2.3e-5, 4e-3)
    preamble = "Let me think about this carefully before answering. " * 5
    opened = changed(honest, lambda s, i: {"text": preamble + s.text}, every=2)
    assert caught_by(opened, Verdict.REVIEW) == {"canned-text"}


def test_equal_loops_of_a_small_model_only_ask_for_review():
    honest = measured("laptop", "prefill", 3.7e-3, 85e-3)
    looping = changed(honest, lambda s, i: {"text": "the answer is " * 30}, every=3)
    assert run_checks(looping).verdict is Verdict.REVIEW


def test_repeated_launches_may_repeat_their_texts():
    honest = measured("laptop", "throughput", 3.7e-3, 85e-3)
    twice = replace(honest, requests=honest.requests * 2)
    assert [len(launch) for launch in twice.launches] == [len(honest.requests)] * 2
    assert run_checks(twice).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"finish_reason": "stop"}, "forced-length"),
        ({"finish_reason": None}, "forced-length"),
        ({"first_chunk_tokens": 64}, "tpot-floor"),
    ],
)
def test_oddities_ask_for_review(change, expected):
    honest = measured("laptop", "prefill", 3.7e-3, 85e-3)
    odd = changed(honest, lambda s, i: change, every=4)
    assert expected in caught_by(odd, Verdict.REVIEW)
    assert run_checks(odd).verdict is Verdict.REVIEW


def test_an_engine_that_cannot_force_a_length_is_no_cheat_and_not_cleared_either():
    short = early_eos(measured("laptop", "prefill", 3.7e-3, 85e-3))
    assert "forced-length" in caught_by(short)
    known = replace(short, engine="tgi", forces_length=forces_length("tgi"))
    assert "forced-length" in caught_by(known, Verdict.REVIEW)
    assert [forces_length(name) for name in ("tgi", "vllm", "unknown", None)] == [False, True, True, True]


def test_missing_samples_and_missing_evidence_ask_for_review():
    honest = measured("laptop", "prefill", 3.7e-3, 85e-3)
    assert caught_by(replace(honest, requests=honest.requests[1:]), Verdict.REVIEW) == {"samples-complete"}
    unseen = run_checks(replace(honest, survivors=None))
    assert unseen.verdict is Verdict.REVIEW
    nothing = run_checks(replace(honest, requests=()))
    assert nothing.verdict is Verdict.REVIEW
    assert all(c.verdict is not Verdict.FAIL for c in nothing.checks)


def test_failed_requests_are_left_out():
    honest = measured("laptop", "prefill", 3.7e-3, 85e-3)
    failed = {"ok": False, "error": "http 500", "first_s": None, "end_s": None, "output_tokens": None, "text": ""}
    assert run_checks(changed(honest, lambda s, i: failed, every=5)).verdict is Verdict.PASS


def test_random_weights_are_audited_by_their_reported_count():
    honest = measured("h100-random-7b", "prefill", 2.3e-5, 4e-3)
    garbled = changed(honest, lambda s, i: {"output_tokens": 3 * s.max_tokens})
    assert "token-audit" not in caught_by(garbled)
    short = changed(honest, lambda s, i: {"usage_completion_tokens": s.max_tokens // 2})
    assert "token-audit" in caught_by(short)


OPENED_TURNS = "and so it ends.\nsystem\n\nuser\nWhat is it?\nassistant\nIt is this. " + "More of it follows here. " * 3


@pytest.mark.parametrize(
    ("text", "hidden", "verdict"),
    [
        (OPENED_TURNS, 7, Verdict.PASS),  # as vLLM did on a GPU: three turns, seven tokens without text
        (OPENED_TURNS, 14, Verdict.FAIL),
        ("plain words that open no turn " * 4, 7, Verdict.FAIL),
        ("user\n" * 60, 40, Verdict.FAIL),  # role names only are no leave to claim what one likes
    ],
)
def test_marks_of_new_turns_are_tokens_without_text(text, hidden, verdict):
    honest = measured("laptop", "prefill", 3.7e-3, 85e-3)
    past_the_end = changed(
        honest, lambda s, i: {"text": f"{i} {text}", "output_tokens": s.max_tokens - hidden}, every=4
    )
    result = run_checks(past_the_end)
    assert next(c.verdict for c in result.checks if c.name == "token-audit") is verdict


@pytest.mark.parametrize(("off", "verdict"), [(3, Verdict.PASS), (4, Verdict.FAIL)])
def test_the_band_is_three_tokens_on_short_answers(off, verdict):
    honest = measured("laptop-mini", "prefill", 3.7e-3, 85e-3)
    result = run_checks(changed(honest, lambda s, i: {"output_tokens": s.max_tokens - off}))
    assert next(c.verdict for c in result.checks if c.name == "token-audit") is verdict


def test_the_band_is_calibrated_on_the_reference():
    reference = measured("h100-mistral-7b", "prefill", 2.3e-5, 4e-3)
    hidden_tokens = changed(reference, lambda s, i: {"output_tokens": round(s.max_tokens * 0.94)}, every=9)
    band = calibrate_band(hidden_tokens.requests)
    assert band.relative == pytest.approx(0.09, abs=0.002)
    assert calibrate_band(reference.requests) == AuditBand()
    assert "token-audit" in caught_by(hidden_tokens)
    assert run_checks(replace(hidden_tokens, token_band=band)).verdict is Verdict.PASS


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 5))
def test_grading_is_monotone(bad, good, suspicious):
    order = [Verdict.NOT_APPLICABLE, Verdict.PASS, Verdict.REVIEW, Verdict.FAIL]
    total = bad + good
    verdict = grade(bad, total, suspicious)
    if total:
        assert order.index(grade(bad + 1, total + 1, suspicious)) >= order.index(verdict)
        assert (verdict is Verdict.PASS) == (bad == 0 and suspicious == 0)
        assert grade(total, total) is Verdict.FAIL


PLUGIN = """
class Check:
    name = {name!r}
    required = False

    def run(self, evidence):
        raise RuntimeError("broken on purpose")
"""


def plugin(tmp_path, monkeypatch, name):
    """Install a distribution with one entry point, as a third party's package would be."""
    module = f"third_party_{name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(PLUGIN.format(name=name))
    info = tmp_path / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[inferencebench.checks]\nextra = {module}:Check\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, module, raising=False)


def test_a_third_partys_check_is_found_and_its_crash_is_a_review(tmp_path, monkeypatch):
    plugin(tmp_path, monkeypatch, "extra")
    assert "extra" in {c.name for c in checks()}
    result = run_checks(measured("laptop", "prefill", 3.7e-3, 85e-3))
    crashed = next(c for c in result.checks if c.name == "extra")
    assert (crashed.verdict, result.verdict) == (Verdict.REVIEW, Verdict.REVIEW)
    assert "broken on purpose" in crashed.reason


def test_a_plugin_cannot_replace_a_builtin_check(tmp_path, monkeypatch):
    plugin(tmp_path, monkeypatch, "token-audit")
    with pytest.raises(UserError, match="choose another name"):
        checks()
