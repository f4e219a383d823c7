"""The built-in suites: the paper's facts as literal numbers, and sizes that fit a laptop."""

import json
import math

import pytest
from typer.testing import CliRunner

from inferencebench.cli.suites import app
from inferencebench.suites import load as suites
from inferencebench.suites.model import Scenario, Suite

PAPER_SCALE = ["a100-mistral-7b", "h100-deepseek-v2-lite", "h100-mistral-7b", "h100-qwen3-8b", "h100-random-7b"]
LAPTOP = ["laptop", "laptop-mini"]
OFFLINE = "h100-random-7b"
"""Paper scale but for its numbers of requests: it must fit into the shipped corpus."""

TABLE_7 = [
    {
        "scenario": "A",
        "L_in": 8192,
        "L_out": 1024,
        "requests": 128,
        "max_new": 1024,
        "profiles": [{"name": "burst", "concurrency": 1}],
    },
    {
        "scenario": "B",
        "L_in": 1024,
        "L_out": 8192,
        "requests": 64,
        "max_new": 8192,
        "profiles": [{"name": "burst", "concurrency": 1}],
    },
    {
        "scenario": "C",
        "L_in": 1024,
        "L_out": 1024,
        "requests": "256x3",
        "max_new": 1024,
        "profiles": [
            {"name": "burst", "concurrency": 64},
            {"name": "poisson", "rate_per_s": 32, "concurrency": 32},
            {"name": "constant", "rate_per_s": 16, "concurrency": 16},
        ],
    },
    {
        "scenario": "D",
        "L_in": 4096,
        "L_out": 2048,
        "requests": 96,
        "max_new": 2048,
        "profiles": [{"name": "burst", "concurrency": 4}],
    },
]


def test_names_lists_suites_and_no_parts():
    assert suites.names() == sorted([*PAPER_SCALE, *LAPTOP, "h100-smollm2", "h200-random-7b"])


@pytest.mark.parametrize("name", suites.names())
def test_a_suite_is_named_like_its_file_and_hashes_alike_each_time(name):
    assert suites.load(name).name == name
    assert suites.load(name).sha256 == suites.load(name).sha256


def test_hashes_of_suites_differ():
    assert len({suites.load(name).sha256 for name in suites.names()}) == len(suites.names())


@pytest.mark.parametrize("name", [name for name in PAPER_SCALE if name != OFFLINE])
def test_show_prints_the_papers_table_7(name):
    done = CliRunner().invoke(app, ["show", name, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["table7"] == {"rows": TABLE_7, "range_ratio": 0.8}


def test_the_offline_suite_has_the_papers_loads_with_fewer_requests():
    rows = json.loads(CliRunner().invoke(app, ["show", OFFLINE, "--json"]).output)["table7"]["rows"]
    assert [row | {"requests": 0} for row in rows] == [row | {"requests": 0} for row in TABLE_7]
    assert [row["requests"] for row in rows] == [16, 8, "48x3", 36]


@pytest.mark.parametrize("name", PAPER_SCALE)
def test_paper_scale_keeps_the_protocol(name):
    suite = suites.load(name)
    assert [s.temperature for s in suite.scenarios] == [0.2, 0.7, 0.3, 0.4]
    assert [s.metric.value for s in suite.scenarios] == ["ttft_s", "tpot_s", "requests_per_s", "balanced_score"]
    assert (suite.limits.budget_s, suite.limits.ready_s, suite.baseline_launches) == (7200, 900, 3)
    if name != OFFLINE:
        assert (suite.quality.dataset, suite.quality.questions) == ("mmlu_pro", 500)


@pytest.mark.parametrize("name", suites.names())
def test_seed_pairs_and_tau_are_the_papers(name):
    suite = suites.load(name)
    assert [(p.dev, p.eval) for p in suite.seed_pairs] == [(21, 1337), (248, 428), (999, 777)]
    assert suite.quality.tau == 0.95


@pytest.mark.parametrize("name", suites.names())
def test_shape_ratios_are_the_papers(name):
    by_id = {s.id: s for s in suites.load(name).scenarios}
    ratios = {key: s.input_tokens / s.output_tokens for key, s in by_id.items()}
    assert ratios == {"A": 8, "B": 1 / 8, "C": 1, "D": 2}
    assert [(p.name, p.arrival) for p in by_id["C"].profiles] == [
        ("burst", "burst"),
        ("poisson", "poisson"),
        ("constant", "constant"),
    ]
    assert [by_id[key].profiles[0].concurrency for key in "ABD"] == [1, 1, 4]


@pytest.mark.parametrize("name", suites.names())
def test_the_shortest_prompt_holds_template_and_nonce(name):
    suite = suites.load(name)
    shortest = min(math.ceil(suite.range_ratio * s.input_tokens) for s in suite.scenarios)
    assert shortest >= 45


def attention(hidden: int, heads: int, kv_heads: int, head: int) -> int:
    return 2 * hidden * heads * head + 2 * hidden * kv_heads * head


def test_parameter_counts_follow_from_the_public_shapes():
    mistral = 32 * (attention(4096, 32, 8, 128) + 3 * 4096 * 14336)
    qwen = 36 * (attention(4096, 32, 8, 128) + 3 * 4096 * 12288)
    smol = 30 * (attention(576, 9, 3, 64) + 3 * 576 * 1536)
    latent = 2048 * 16 * 192 + 2048 * (512 + 64) + 512 * 16 * (128 + 128) + 16 * 128 * 2048
    deepseek = 27 * latent + 3 * 2048 * 10944 + 26 * (8 * 3 * 2048 * 1408 + 64 * 2048)
    found = {name: suites.load(name).model.body_params for name in suites.names()}
    assert found == {
        "a100-mistral-7b": mistral,
        "h100-mistral-7b": mistral,
        "h100-random-7b": mistral,
        "h200-random-7b": mistral,
        "h100-qwen3-8b": qwen,
        "h100-deepseek-v2-lite": deepseek,
        "h100-smollm2": smol,
        "laptop": smol,
        "laptop-mini": smol,
    }
    assert mistral == pytest.approx(6.979e9, rel=1e-4)


def test_smollm2_adds_up_to_its_published_size():
    model = suites.load("laptop").model
    norms = (2 * model.layers + 1) * model.hidden
    assert model.body_params + model.head_params + norms == 134_515_008


def test_data_sheet_peaks():
    h100, a100 = suites.load("h100-mistral-7b").hardware, suites.load("a100-mistral-7b").hardware
    assert (h100.tflops["bf16"], h100.tflops["fp8"], h100.bandwidth_gb_per_s) == (990, 1979, 3350)
    assert (a100.tflops["bf16"], a100.tflops["int8"], a100.bandwidth_gb_per_s) == (312, 624, 2039)


DECODE_S, PREFILL_S = 0.085, 0.0037
"""Seconds per token of the float32 baseline on one core, as measured."""


def baseline_seconds(suite: Suite, scenario: Scenario) -> float:
    """Serial time of one launch: on one core concurrency gains nothing."""
    mean = (1 + suite.range_ratio) / 2
    warm = scenario.warmup_output_tokens or scenario.output_tokens
    prefill, decode = scenario.input_tokens * mean * PREFILL_S, scenario.output_tokens * mean * DECODE_S
    return sum(p.requests for p in scenario.profiles) * (prefill + decode) + scenario.warmup_requests * (
        prefill + warm * DECODE_S
    )


@pytest.mark.parametrize(("name", "limit_s"), [("laptop", 95), ("laptop-mini", 42)])
def test_the_baseline_of_a_laptop_scenario_stays_short(name, limit_s):
    suite = suites.load(name)
    assert {
        s.id: round(baseline_seconds(suite, s)) for s in suite.scenarios if baseline_seconds(suite, s) > limit_s
    } == {}


@pytest.mark.parametrize("name", LAPTOP)
def test_laptops_split_two_cores(name):
    suite = suites.load(name)
    assert (suite.hardware.server_cpus, suite.hardware.client_cpus, suite.limits.ready_s) == (1, 1, 120)
    assert suite.model.dtype == "float32"


def test_show_and_list_print_tables():
    shown = CliRunner().invoke(app, ["show", "laptop-mini"], env={"COLUMNS": "80"})
    listed = CliRunner().invoke(app, ["list"], env={"COLUMNS": "160"})
    assert shown.exit_code == listed.exit_code == 0
    assert "SmolLM2-135M-Instruct" in shown.output
    assert "poisson 8/s, 2" in shown.output
    assert "requests_per_s" in shown.output
    assert all(name in listed.output for name in suites.names())


def test_list_json_names_every_suite():
    rows = json.loads(CliRunner().invoke(app, ["list", "--json"]).output)
    assert [row["name"] for row in rows] == suites.names()


@pytest.mark.parametrize("verb", ["list", "show", "validate"])
def test_help_has_an_example(verb):
    assert f"inferencebench suites {verb}" in CliRunner().invoke(app, [verb, "--help"]).output
