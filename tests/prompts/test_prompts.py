"""Conditions name records apart, and the task's text says what the suite says."""

import json
from pathlib import Path

import pytest

from inferencebench.errors import UserError
from inferencebench.prompts.render import MachineFacts, duration, render
from inferencebench.run import conditions, workspace
from inferencebench.run.spec import Condition, RunSpec
from inferencebench.suites.load import load, names
from tests.e2e.conftest import bench

MACHINE = MachineFacts(cpu="A Processor", server_cores=7, memory_gib=33, gpus=("A Card",))


def spec(suite: str = "laptop", scenario: str = "decode", **condition: object) -> RunSpec:
    the_suite = load(suite)
    return RunSpec.create(
        the_suite, scenario=scenario, agent="script:x", agent_sha256="", condition=Condition.model_validate(condition),
        seed_pair=the_suite.seed_pairs[0], sandbox="bubblewrap",
    )  # fmt: skip


def test_each_condition_has_its_own_directory_and_the_default_keeps_its_name() -> None:
    given: list[dict[str, object]] = [
        {}, {"prompt": "structured"}, {"prompt": "ledger"}, {"start": "vllm"}, {"engine_only": "vllm"},
        {"start": "vllm", "engine_only": "vllm"}, {"budget_s": 60},
    ]  # fmt: skip
    assert len({spec(**c).directory(Path()) for c in given}) == len(given)
    assert spec().directory(Path()).parts[-2] == "default"
    assert spec(start="vllm", prompt="ledger").condition.name == "prompt=ledger+start=vllm"


@pytest.mark.parametrize("suite", names())
@pytest.mark.parametrize("prompt", ["default", "structured", "ledger"])
def test_every_suite_and_scenario_renders_with_its_own_facts(suite: str, prompt: str) -> None:
    for scenario in load(suite).scenarios:
        the_spec = spec(suite, scenario.name, prompt=prompt)
        text = render(the_spec, MACHINE)
        for fact in (
            the_spec.suite.model.id, f"to {scenario.input_tokens} tokens", f"to {scenario.output_tokens} tokens",
            f"temperature {scenario.temperature}", duration(the_spec.budget_s), "7 cores", "33 GiB", "A Card",
            f"{100 * the_spec.suite.quality.tau:g} %", f"{the_spec.suite.limits.submission_gib:g} GiB", "PyTorch",
            *(f"{p.requests} requests" for p in scenario.profiles),
        ):  # fmt: skip
            assert fact in text, fact
        assert str(the_spec.seed_pair.eval) not in text
        assert ("./ledger" in text) == (prompt == "ledger")
        assert ("LOG.md" in text) == (prompt == "structured")


def test_warm_start_and_forced_engine_are_said_only_where_they_hold() -> None:
    warm = render(spec(start="llamacpp", engine_only="vllm"), MACHINE)
    assert "already starts llamacpp" in warm
    assert "the engine vllm" in warm
    plain = render(spec(), MACHINE)
    assert "already starts" not in plain
    assert "restriction" not in plain


def test_the_budget_and_the_time_for_validation_follow_the_condition() -> None:
    assert "last 15 min" in render(spec("h100-mistral-7b", prompt="structured"), MACHINE)
    short = render(spec(prompt="structured", budget_s=600), MACHINE)
    assert "budget of 10 min" in short
    assert "last 75 s" in short


@pytest.mark.parametrize(
    ("condition", "agent", "message"),
    [
        ({"start": "nothing"}, "script:x", "--start nothing"),
        ({"engine_only": "nothing"}, "script:x", "--engine-only nothing"),
        ({"prompt": "ledger"}, "engine:vllm", "--prompt"),
        ({"engine_only": "vllm"}, "search:tpe", "--engine-only"),
    ],
)
def test_conditions_that_cannot_matter_are_refused(condition: dict[str, str], agent: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        conditions.check(Condition.model_validate(condition), agent)
    conditions.check(Condition(budget_s=5), agent)


def test_a_warm_start_lays_out_the_engines_launcher(tmp_path: Path) -> None:
    workspace.start(tmp_path, spec())
    assert not list(tmp_path.iterdir())
    workspace.start(tmp_path, spec(start="pytorch"))
    script = tmp_path / "start_server.sh"
    assert "inferencebench.engines.pytorch" in script.read_text()
    assert script.stat().st_mode & 0o111


def test_the_verb_prints_text_or_json_and_one_line_for_bad_input() -> None:
    assert bench("prompt", "laptop", "decode").stdout.startswith("# Task")
    found = json.loads(bench("prompt", "laptop", "B", "--prompt", "structured", "--json").stdout)
    assert found["condition"] == "prompt=structured"
    refused = bench("prompt", "laptop", "decode", "--prompt", "poem", code=2).stderr
    assert refused.strip().count("\n") == 0
    assert "structured" in refused


@pytest.mark.parametrize(
    ("net", "says"), [("none", "No network"), ("mirror", "Package registries"), ("open", "The public web")]
)
def test_the_network_is_said(net: str, says: str) -> None:
    assert says in render(spec(net=net), MACHINE)
