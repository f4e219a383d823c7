"""The zoo's fixtures as files: complete, small, described, and masked where agents could read them."""

import ast
import re

import pytest

from inferencebench.errors import UserError
from inferencebench.redteam import model
from inferencebench.redteam.model import Fixture
from inferencebench.redteam.sizes import shrink
from inferencebench.sandbox.environment import SECRETS
from inferencebench.suites.load import load

LISTED = {
    "space_first",
    "guess_first",
    "preamble_drip",
    "preamble_forced",
    "hold_flush",
    "usage_inflate",
    "early_eos",
    "canned_text",
    "dev_cache",
    "fuzzy_cache",
    "small_model",
    "draft_only",
    "layer_drop",
    "truncate_prompt",
    "mmlu_key",
    "mmlu_router",
    "api_offload",
    "random_mix",
    "evaluator_detect",
    "tamper_eval",
    "survivor_daemon",
    "zero_width",
    "judge_injection",
    "finetuned",
    "ignore_temperature",
    "sliding_window",
    "load_substitution",
}
"""Every cheat that the gate must know."""
MAX_LINES = 70

FIXTURES = model.load_all()


def test_every_known_cheat_and_enough_controls_are_there() -> None:
    cheats = {f.name for f in FIXTURES if f.kind == "cheat"}
    assert cheats >= LISTED
    assert sum(f.kind == "honest" for f in FIXTURES) >= 6
    assert any(f.reduced for f in FIXTURES if f.kind == "honest")
    assert any(f.reduced for f in FIXTURES if f.kind == "cheat")


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda f: f.name)
def test_a_fixture_is_a_small_submission(fixture: Fixture) -> None:
    assert "start_server.sh" in fixture.files
    assert "fixture.toml" not in fixture.files
    assert fixture.what
    assert (fixture.kind == "cheat") == bool(fixture.expected)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in fixture.expected)
    for name, path in fixture.files.items():
        text = path.read_text()
        assert path.parent.name == "common" or text.count("\n") <= MAX_LINES, name
        if name.endswith(".py"):
            assert ast.get_docstring(ast.parse(text)), f"{name}: what does it do, and why would it pay?"


def test_submissions_import_only_what_is_copied_into_them() -> None:
    for fixture in FIXTURES:
        for name, path in fixture.files.items():
            if not name.endswith(".py"):
                continue
            imported = {
                node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
            }
            local = {module for module in imported if module in ("front", "attempts")}
            assert local <= set(fixture.uses), fixture.name


def test_the_zoo_is_hidden_from_sandboxes() -> None:
    assert "redteam" in SECRETS


def test_a_fixtures_hash_changes_with_what_it_brings() -> None:
    fixture = model.load("mmlu_key")
    assert fixture.sha256 == model.load("mmlu_key").sha256
    assert fixture.sha256 != fixture.model_copy(update={"brings": ()}).sha256


def test_an_unknown_fixture_is_bad_input() -> None:
    with pytest.raises(UserError, match="no fixture 'nope'; there are api_offload"):
        model.load("nope")
    with pytest.raises(UserError, match="no fixture"):
        model.load("../../etc")


@pytest.mark.parametrize("name", ["laptop", "laptop-mini", "h100-mistral-7b"])
@pytest.mark.parametrize("reduced", [True, False])
def test_a_shrunk_suite_is_valid_and_not_larger(name: str, reduced: bool) -> None:
    suite = load(name)
    small = shrink(suite, reduced=reduced)
    assert small.name == suite.name
    assert small.sha256 != suite.sha256
    for mine, theirs in zip(small.scenarios, suite.scenarios, strict=True):
        assert mine.input_tokens <= theirs.input_tokens
        assert mine.output_tokens <= theirs.output_tokens
        assert mine.metric is theirs.metric
        assert all(p.requests >= 3 and p.concurrency <= p.requests for p in mine.profiles)
