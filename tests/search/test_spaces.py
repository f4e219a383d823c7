"""The shipped spaces, and what a wrong one is told."""

import json
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from inferencebench.engines import registry
from inferencebench.errors import UserError
from inferencebench.files import sha256_json
from inferencebench.search import space
from inferencebench.search.options import compare
from inferencebench.suites.model import ScenarioName

PUBLISHED = {
    "vllm": (92_160, 11, "506a343dd0eed614788820929a9c1552f6af2dea57a15f8acef9efb3aa02b8bf"),
    "sglang": (90, 10, "75665bf590a6b067bc902abf16e6d4ad3a1c77d2454ccda7ffc090099eb42353"),
    "tgi": (324_000, 9, "b3914676d6918c6eac54387559108900dfec7f5435c173f9d57fca861848c694"),
}
"""Combinations, settings, and the hash of the published names and values, in their order."""
HELP = Path(__file__).parents[1] / "engines" / "help"
MINIMAL = "name: x\nengine: x\nparameters:\n  - {name: a, type: ordinal, values: [1, 2], default: 1, flag: --a}\n"


@pytest.mark.parametrize("engine", PUBLISHED)
def test_published_spaces_are_as_published(engine: str) -> None:
    found = space.find(engine, paper=True)
    values = sha256_json({p.name: list(p.choices) for p in found.parameters})
    assert (found.size, len(found.parameters), values) == PUBLISHED[engine]
    assert all(None not in p.choices for p in found.parameters)


@pytest.mark.parametrize("found", [s for s in space.shipped() if not s.paper], ids=lambda s: s.name)
def test_everything_can_be_unset_and_every_scenario_has_a_first_guess(found: space.Space) -> None:
    assert all(None in p.choices for p in found.parameters)
    assert set(found.presets) == set(ScenarioName)
    assert found.render({}) == ([], {})


@pytest.mark.parametrize("version", ["0.26.0", "0.32.0"])
def test_vllm_flags_and_choices_are_those_of_its_help(version: str) -> None:
    text = (HELP / f"vllm-{version}.txt").read_text()
    for found in (space.find("vllm", version), space.find("vllm", paper=True)):
        assert compare(found, text) == []


@pytest.mark.parametrize("engine", ["llamacpp", "transformers", "pytorch"])
def test_the_command_holds_a_space_against_the_installed_engine(engine: str) -> None:
    if not (available := registry.get(engine).availability()).ok:
        pytest.skip(f"{engine}: {available.detail}")
    argv = [sys.executable, "-m", "inferencebench", "spaces", "check", engine, "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["space"], found["problems"]) == (engine, [])


def test_a_flag_or_value_that_an_engine_lacks_is_named() -> None:
    text = "  --block-size {8,16}\n  --quantization METHOD"
    found = {(p.parameter, p.what) for p in compare(space.find("vllm", paper=True), text)}
    assert ("block_size", "--block-size does not take 32") in found
    assert ("max_num_seqs", "--max-num-seqs is not an option") in found
    assert "quantization" not in {name for name, _ in found}


def test_speculation_renders_as_json() -> None:
    arguments, _ = space.find("vllm", "0.26.0").render({"ngram_tokens": 5})
    assert arguments[0] == "--speculative-config"
    assert json.loads(arguments[1])["num_speculative_tokens"] == 5


def test_unset_stands_beside_the_default() -> None:
    parameter = space.Parameter(name="a", type="ordinal", values=(1, 2, 8), default=4, flag="--a")
    assert parameter.choices == (1, 2, None, 8)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nengine: x\nparameters: []", "parameters"),
        (MINIMAL + "forbid:\n  - {all: {b: [1]}, source: somewhere in the docs}\n", "no parameter 'b'"),
        (MINIMAL + "forbid:\n  - {all: {a: [3]}, source: somewhere in the docs}\n", "a has no value 3"),
        (MINIMAL + "forbid:\n  - {all: {a: [1]}}\n", "source"),
        (MINIMAL + "presets: {decode: [{a: 7}]}\n", "a has no value 7"),
        (MINIMAL + "forbid:\n  - {all: {a: [1]}, source: the documentation}\npresets: {decode: [{a: 1}]}\n", "is forb"),
        (MINIMAL.replace("flag: --a", "flag: --a, env: A"), "exactly one of flag, env and renderer"),
        ("a: [", "not YAML"),
        ("[]", "x.yaml"),
    ],
)
def test_a_wrong_space_is_told_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        space.parse(text, "x.yaml")


def test_versions_and_engines_that_have_no_space() -> None:
    with pytest.raises(UserError, match=r"no space for vllm 0\.9\.1; the ranges are vllm: 0\.20 to 0\.40"):
        space.find("vllm", "0.9.1")
    with pytest.raises(UserError, match="no space for engine 'nope'"):
        space.find("nope")


def test_conditions_drop_what_has_no_meaning() -> None:
    text = MINIMAL + "  - {name: b, type: bool, flag: --b, when: {a: [2]}}\n"
    found = space.parse(text, "x")
    assert found.tidy({"b": True, "a": 1}) == {"a": 1}
    assert found.tidy({"b": True, "a": 2}) == {"a": 2, "b": True}
    assert len(list(product(*(p.choices for p in found.parameters)))) == found.size
