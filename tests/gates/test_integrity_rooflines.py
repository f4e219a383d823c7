"""The bounds: published worked numbers, and what must hold for any shape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferencebench.doctor.hardware import Peaks
from inferencebench.errors import UserError
from inferencebench.gates.integrity import rooflines as r
from inferencebench.suites import load as suites
from inferencebench.suites.model import Hardware

H100 = suites.load("h100-mistral-7b")
MISTRAL, ROOF = H100.model, r.roof(H100.hardware, None)
SUITES = {name: suites.load(name) for name in suites.names()}
CPU = Peaks(tflops={"f32": 0.8, "bf16": 1.6, "int8": 3.2}, bandwidth_gb_per_s=1600, provenance="test")


def test_prefill_of_8192_tokens():
    flops = r.prefill_flops(MISTRAL, 8192)
    assert flops / ROOF.flops["bf16"] == pytest.approx(133e-3, rel=0.005)
    assert flops / ROOF.flops["fp8"] == pytest.approx(67e-3, rel=0.01)
    assert r.ttft_floor_s(MISTRAL, ROOF, 8192) == pytest.approx((28.9e-3, 57.8e-3), rel=0.001)


def test_prefill_slope_per_token():
    assert r.ttft_floor_s(MISTRAL, ROOF, 1) == pytest.approx((3.53e-6, 7.05e-6), rel=0.001)


def test_decode():
    assert r.decode_step_s(MISTRAL, ROOF, 16) == pytest.approx(4.25e-3, rel=0.001)
    assert r.decode_step_s(MISTRAL, ROOF, 8) == pytest.approx(2.16e-3, rel=0.002)
    assert r.tpot_floor_s(MISTRAL, ROOF) == pytest.approx((7.2e-6, 0.148e-3), rel=0.005)


def test_request_rate_of_scenario_c():
    # Mean of [0.8 * 1024, 1024] tokens on either side.
    assert r.request_rate_ceiling_per_s(MISTRAL, ROOF, 921.6, 921.6).hard == pytest.approx(73.7, abs=0.05)
    assert r.request_rate_ceiling_per_s(MISTRAL, ROOF, 922, 922).hard == pytest.approx(73.7, rel=0.002)


def test_measured_engines_lie_above_their_floors():
    """vLLM 0.26 on one H100, Mistral's shape: fp8 at 169 ms for about 7,300 tokens, 4.08 ms a token, 8.1 requests/s;
    the published search reached 166 ms, 2.7 ms and 11.7 requests/s."""
    assert r.ttft_floor_s(MISTRAL, ROOF, 7300).review < 0.166
    assert r.tpot_floor_s(MISTRAL, ROOF).review < 2.7e-3
    assert r.request_rate_ceiling_per_s(MISTRAL, ROOF, 922, 922).review > 11.7


def test_a_mixture_of_experts_counts_active_parameters_and_its_attention_width():
    suite = suites.load("h100-deepseek-v2-lite")
    assert r.attention_flops(suite.model, 1000) == 2 * 27 * 2560 * 1000**2
    assert r.tpot_floor_s(suite.model, ROOF).hard == pytest.approx(2 * (2.2416e9 + 0.2097e9) / 1979e12, rel=1e-3)


def test_int4_units_of_an_a100_lower_the_hard_floor_only():
    suite = suites.load("a100-mistral-7b")
    floor = r.ttft_floor_s(suite.model, r.roof(suite.hardware, None), 8192)
    linear = 2 * suite.model.body_params * 8192
    assert floor == pytest.approx((linear / (2 * 1248e12), linear / 624e12))


def test_a_cpu_uses_its_calibrated_peaks_and_needs_them():
    laptop = suites.load("laptop")
    assert r.roof(laptop.hardware, CPU).fastest == 3.2e12
    with pytest.raises(UserError, match="no peak rates"):
        r.roof(laptop.hardware, None)


def test_a_cpu_of_one_type_grades_with_that_type():
    only = Peaks(tflops={"f32": 1.0}, bandwidth_gb_per_s=10, provenance="test")
    roof = r.roof(suites.load("laptop").hardware, only)
    assert roof.best(8) == roof.best(16) == roof.fastest == 1e12


@given(st.integers(1, 16), st.integers(1, 131072), st.sampled_from(suites.names()))
def test_bounds_scale_with_devices_and_are_ordered(devices, tokens, name):
    suite = SUITES[name]
    one = suite.hardware.model_copy(update={"devices": 1})
    many = Hardware.model_validate(one.model_dump() | {"devices": devices})
    single, cluster = r.roof(one, CPU), r.roof(many, CPU)
    for model in (suite.model, MISTRAL):
        ttft, tpot = r.ttft_floor_s(model, cluster, tokens), r.tpot_floor_s(model, cluster)
        rate = r.request_rate_ceiling_per_s(model, cluster, tokens, tokens)
        assert 0 < ttft.hard < ttft.review
        assert 0 < tpot.hard <= tpot.review
        assert rate.hard >= rate.review > 0
        assert ttft.hard == pytest.approx(r.ttft_floor_s(model, single, tokens).hard / devices)
        # A real prefill at full dense peak, attention included, is never accused.
        assert r.prefill_flops(model, tokens) / cluster.best(8) >= ttft.review
