"""Loading suites: names, files, `extends`, and one-line errors that say what would be right."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from inferencebench.campaign import model as campaign
from inferencebench.cli.suites import app
from inferencebench.errors import UserError
from inferencebench.suites import load as suites
from inferencebench.suites.model import ScenarioName

OWN = 'extends = "laptop"\nname = "own"\n'


def write(tmp_path, text, name="own.toml"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def complaint(tmp_path, text):
    with pytest.raises(UserError) as caught:
        suites.load(write(tmp_path, text))
    message = str(caught.value)
    assert "\n" not in message
    assert "own.toml" in message
    return message


def test_a_file_extends_a_builtin_and_overrides_single_keys(tmp_path):
    own = suites.load(write(tmp_path, OWN + "[quality]\nquestions = 7\n"))
    laptop = suites.load("laptop")
    assert (own.name, own.quality.questions) == ("own", 7)
    assert own.quality.max_tokens == laptop.quality.max_tokens
    assert own.scenarios == laptop.scenarios
    assert own.sha256 != laptop.sha256


def test_extends_takes_a_file_beside(tmp_path):
    write(tmp_path, OWN, "base.toml")
    path = write(tmp_path, 'extends = "base.toml"\nname = "top"\n[limits]\nbudget_s = 60\n', "top.toml")
    assert (suites.load(path).name, suites.load(path).limits.budget_s) == ("top", 60)


@pytest.mark.parametrize("name", ["", 'name = "laptop"\n'])
def test_what_changes_a_suite_needs_a_name_of_its_own(tmp_path, name):
    assert suites.load(write(tmp_path, f'extends = "laptop"\n{name}')) == suites.load("laptop")
    wanted = "name: 'laptop' is the suite that this one changes"
    assert wanted in complaint(tmp_path, f'extends = "laptop"\n{name}[limits]\nbudget_s = 60\n')
    assert wanted in complaint(tmp_path, f'extends = ["laptop", "_h100"]\n{name}')


def test_arrays_are_replaced_whole(tmp_path):
    own = suites.load(write(tmp_path, OWN + "[[seed_pairs]]\ndev = 1\neval = 2\n"))
    assert [(p.dev, p.eval) for p in own.seed_pairs] == [(1, 2)]


CASES = {
    "name = ": "not valid TOML",
    OWN + "nmae = 'x'\n": "nmae: unknown key; did you mean name?",
    OWN + "[quality]\nquestion = 3\n": "quality.question: unknown key; did you mean questions?",
    OWN + "[quality]\nzebra = 3\n": "known here are concurrency, dataset",
    OWN + '[quality]\nquestions = "60"\n': "quality.questions: '60' is wrong; give a whole number",
    OWN + "[quality]\nquestions = 1.5\n": "quality.questions: 1.5 is wrong; give a whole number",
    OWN + "[quality]\ntau = 1.5\n": "quality.tau: 1.5 is wrong; give less than or equal to 1",
    OWN + '[quality]\ndataset = "mmlu"\n': "give 'mmlu_pro' or 'factual'",
    OWN + "quality = 3\n": "quality: 3 is wrong; give a table such as {dataset = …, questions = …, max_tokens = …}",
    OWN + "limits = 3\n": "limits: 3 is wrong; give a table",
    OWN + "scenarios = []\n": "scenarios",
    OWN + "[model]\ncontext_tokens = 100\n": "exceed the model's context of 100",
    OWN + "[model]\nvocab = 7\n": "is not vocab * hidden",
    OWN + "[model]\nheads = 7\n": "model: heads: 7 is no multiple of kv_heads = 3",
    OWN + "[model]\nheads = 15\n": "model: heads: 15 do not divide hidden = 576",
    OWN + '[model.source]\nkind = "random"\n': "model.source: a source of kind random needs seed",
    OWN + '[hardware]\nkind = "cuda"\n': "hardware: tflops and bandwidth_gb_per_s are stated for cuda",
    OWN + "[hardware.tflops]\nfp9 = 1\n": "hardware.tflops.fp9",
    'extends = "_papr"\n': "extends: no '_papr' beside the file or built in",
    "extends = 3\n": "extends: give one name or a list",
    'extends = "own.toml"\n': "circle (own.toml -> own.toml)",
    'name = "bare"\n': "title: is missing (and",
    OWN + "day = 1979-05-27\n": "holds a date or a time",
    OWN + f"day = {'9' * 5000}\n": "not valid TOML",
}
UNIONS = {
    "{b = 1}": "a: {'b': 1} is wrong; give a string in quotes, a whole number, a number, true or false or an array",
    '["x", 3]': "a[1]: 3 is wrong; give a string in quotes",
    "{b = 1}, c = {d = 1}": "a whole number, a number, true or false or an array (and 1 more)",
}
"""A wrong value where several types are right → the end of what is said of it."""
SUITE_NAMES = ["../../evil", "..", ".hidden", "a/b", "Own", "own suite", "", "-own", "own[/]", "own\\n"]
PROFILE_NAMES = ["../p", "P", "p.q", "", "p q"]


@pytest.mark.parametrize(("text", "expected"), CASES.items())
def test_errors_name_file_key_and_remedy(tmp_path, text, expected):
    assert expected in complaint(tmp_path, text)


@pytest.mark.parametrize(("value", "expected"), UNIONS.items())
def test_a_wrong_value_of_several_right_types_is_one_problem(tmp_path, value, expected):
    text = f'name = "c"\n[matrix]\nsuites = ["laptop"]\nagents = ["x"]\n[executor]\noptions = {{a = {value}}}\n'
    with pytest.raises(UserError) as caught:
        campaign.load(Path(write(tmp_path, text)))
    assert str(caught.value).endswith(expected)


def test_a_string_that_is_no_number_is_told_like_any_other_wrong_value(tmp_path):
    text = 'name = "c"\n[matrix]\nsuites = ["laptop"]\nagents = ["x"]\n[executor]\nslots = "two"\n'
    with pytest.raises(UserError, match=r"slots: 'two' is wrong; give a whole number$"):
        campaign.load(Path(write(tmp_path, text)))


def test_an_array_is_not_wrong_beside_what_is_wrong_in_it(tmp_path):
    assert complaint(tmp_path, OWN + "seed_pairs = [[1, 2]]\n").endswith(
        "seed_pairs[0]: [1, 2] is wrong; give a table such as {dev = …, eval = …}"
    )


def test_the_key_of_an_array_element_has_its_index(tmp_path):
    profile = '[[scenarios]]\nid = "A"\nname = "prefill"\ntitle = "t"\nmetric = "ttft_s"\ninput_tokens = 64\n'
    profile += (
        'output_tokens = 8\ntemperature = 0\n[[scenarios.profiles]]\nname = "p"\narrival = "burst"\nrequests = 1\n'
    )
    assert "scenarios[0].profiles[0].concurency: unknown key; did you mean concurrency?" in complaint(
        tmp_path, OWN + profile + "concurrency = 1\nconcurency = 1\n"
    )
    assert "scenarios[0].profiles[0]: profile p: rate_per_s" in complaint(
        tmp_path, OWN + profile + "concurrency = 1\nrate_per_s = 1\n"
    )


@pytest.mark.parametrize("name", SUITE_NAMES)
def test_a_suite_name_is_a_file_name(tmp_path, name):
    message = complaint(tmp_path, f'extends = "laptop"\nname = "{name}"\n')
    assert "name: " in message
    assert "is wrong; give lower-case letters, digits" in message


@pytest.mark.parametrize("name", ["own", "0", "h100-qwen3_8b.v1"])
def test_good_suite_names(tmp_path, name):
    assert suites.load(write(tmp_path, f'extends = "laptop"\nname = "{name}"\n')).name == name


@pytest.mark.parametrize("name", PROFILE_NAMES)
def test_a_profile_name_is_a_file_name(tmp_path, name):
    text = '[[scenarios]]\nid = "A"\nname = "prefill"\ntitle = "t"\nmetric = "ttft_s"\ninput_tokens = 64\n'
    text += "output_tokens = 8\ntemperature = 0\n[[scenarios.profiles]]\n"
    text += f'name = "{name}"\narrival = "burst"\nrequests = 1\nconcurrency = 1\n'
    assert "scenarios[0].profiles[0].name: " in complaint(tmp_path, OWN + text)


@pytest.mark.parametrize("depth", [300, 5000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a=", "}")])
def test_deep_nesting_is_an_error_of_the_user(tmp_path, depth, opening, closing):
    text = f"{OWN}deep = {opening * depth}1{closing * depth}\n"
    assert complaint(tmp_path, text).endswith("nested too deeply; a suite needs five levels")


def test_deep_dotted_keys_are_an_error_of_the_user(tmp_path):
    assert "nested too deeply" in complaint(tmp_path, f"{'x.' * 3000}y = 1\n{OWN}")


def test_an_unknown_suite_gets_near_matches():
    with pytest.raises(UserError, match=r"did you mean .*h100-mistral-7b"):
        suites.load("h100-mistral")
    with pytest.raises(UserError, match=r"there are a100-mistral-7b, .* or give a path"):
        suites.load("zzz")
    with pytest.raises(UserError, match="no such file"):
        suites.load("missing/file.toml")


def test_binary_content_is_an_error_of_the_user(tmp_path):
    path = tmp_path / "own.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        suites.load(str(path))


@pytest.mark.parametrize("alias", ["A", "a", "prefill", "Prefill", " PREFILL "])
def test_scenario_aliases(alias):
    assert suites.scenario(suites.load("laptop"), alias).name is ScenarioName.PREFILL


def test_an_unknown_scenario_gets_a_hint():
    with pytest.raises(UserError, match=r"did you mean decode\? it has prefill \(A\)"):
        suites.scenario(suites.load("laptop"), "decod")


def test_validate_tells_the_hash_and_fails_on_a_broken_file(tmp_path):
    good = CliRunner().invoke(app, ["validate", write(tmp_path, OWN), "--json"])
    assert json.loads(good.output)["sha256"] == suites.load(write(tmp_path, OWN)).sha256
    bad = CliRunner().invoke(app, ["validate", write(tmp_path, "x =")])
    assert isinstance(bad.exception, UserError)


TABLES = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), st.integers(0, 9) | inner, max_size=3),
    max_leaves=12,
)


@given(TABLES, TABLES)
def test_merge_keeps_the_top_and_fills_from_below(base, top):
    merged = suites.merge(base, top)
    assert merged.keys() == base.keys() | top.keys()
    assert suites.merge(merged, top) == merged
    assert suites.merge(base, {}) == base
    assert suites.merge({}, top) == top
    assert all(merged[key] == value for key, value in top.items() if not isinstance(value, dict))


def test_a_directory_is_no_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("empty", str(tmp_path)):
        with pytest.raises(UserError, match="is a directory; give a suite's TOML file or one of"):
            suites.load(name)
