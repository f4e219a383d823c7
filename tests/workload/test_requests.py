"""Request sets are exact, disjoint, reproducible, and secret where they have to be."""

import math
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inferencebench.errors import UserError
from inferencebench.suites.model import Corpus, Scenario, Suite
from inferencebench.workload import canary
from inferencebench.workload.corpus import CorpusText, Document, load_corpus
from inferencebench.workload.draws import split_halves
from inferencebench.workload.model import RequestSet
from inferencebench.workload.requests import WARMUP, Side, build_requests, read_requests
from inferencebench.workload.tokens import ChatTokenizer
from tests.workload.conftest import SALT, ScenarioMaker, local_data

salts = st.binary(min_size=32, max_size=32)
seeds = st.integers(0, 2**31)
some = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="session")
def build(suite: Suite, tokenizer: ChatTokenizer, offline: CorpusText) -> Any:
    def call(
        scenario: Scenario, seed: int = 21, side: Side = "dev", salt: bytes = SALT, corpus: CorpusText = offline
    ) -> RequestSet:
        with TemporaryDirectory() as directory:
            out = Path(directory) / "requests.jsonl"
            built = build_requests(
                suite, scenario, seed=seed, side=side, salt=salt, tokenizer=tokenizer, corpus=corpus, out=out
            )
            assert read_requests(out) == built
            return built

    return call


def _texts(requests: RequestSet) -> list[str]:
    """The corpus part of each prompt, without its nonce line."""
    return [request.messages[0].content.split("\n", 1)[1] for request in requests.requests]


def _nonces(requests: RequestSet) -> list[str]:
    return [request.messages[0].content.split("\n", 1)[0] for request in requests.requests]


@some
@given(seed=seeds, salt=salts, input_tokens=st.integers(64, 300), output_tokens=st.integers(1, 200))
def test_lengths_are_exact_and_in_range(
    build: Any,
    scenario_of: ScenarioMaker,
    tokenizer: ChatTokenizer,
    seed: int,
    salt: bytes,
    input_tokens: int,
    output_tokens: int,
) -> None:
    scenario = scenario_of(input_tokens, output_tokens)
    requests = build(scenario, seed, "eval", salt).requests
    for request in requests:
        assert tokenizer.prompt_tokens(request.messages) == request.prompt_tokens
        assert math.ceil(0.8 * input_tokens) <= request.prompt_tokens <= input_tokens
        if request.profile != WARMUP:
            assert math.ceil(0.8 * output_tokens) <= request.max_tokens <= output_tokens


@pytest.fixture(scope="session")
def numbered() -> CorpusText:
    """Documents of numbered words, none of which occurs twice."""
    texts = [" ".join(f"w{number:06d}" for number in range(i * 200, (i + 1) * 200)) for i in range(60)]
    documents = tuple(Document(f"d{i}", text) for i, text in enumerate(texts))
    return CorpusText("numbered", documents, "0" * 64, "none", concatenate=True)


@some
@given(seed=seeds, salt=salts)
def test_no_stretch_of_text_is_used_twice_and_nonces_are_unique(
    build: Any, scenario_of: ScenarioMaker, numbered: CorpusText, seed: int, salt: bytes
) -> None:
    scenario = scenario_of(160, requests=8)
    dev = build(scenario, seed, "dev", salt, numbered)
    evaluation = build(scenario, seed, "eval", salt, numbered)
    # A cut may leave a part of a word at either end of a text.
    repeats = {r.id for r in evaluation.requests if r.probe == "repeat"}
    texts = _texts(dev) + [
        text for r, text in zip(evaluation.requests, _texts(evaluation), strict=True) if r.id not in repeats
    ]
    words = [word for text in texts for word in re.findall(r"\bw\d{6}\b", text)]
    assert len(words) > 400
    assert len(set(words)) == len(words)
    nonces = _nonces(dev) + _nonces(evaluation)
    assert len(set(nonces)) == len(nonces)
    assert all(re.fullmatch("[0-9a-f]{16}", nonce) for nonce in nonces)


@some
@given(seed=seeds, salt=salts, other_salt=salts)
def test_equal_inputs_give_equal_bytes_and_any_other_salt_another_set(
    build: Any, scenario_of: ScenarioMaker, seed: int, salt: bytes, other_salt: bytes
) -> None:
    scenario = scenario_of(96)
    first = build(scenario, seed, "eval", salt)
    assert build(scenario, seed, "eval", salt).sha256 == first.sha256
    if other_salt != salt:
        other = build(scenario, seed, "eval", other_salt)
        assert not set(_nonces(first)) & set(_nonces(other))
        assert [r.seed for r in first.requests] != [r.seed for r in other.requests]
    assert build(scenario, seed + 1, "eval", salt).sha256 != first.sha256
    assert build(scenario, seed, "dev", salt).sha256 != first.sha256


@given(salt=salts)
@settings(max_examples=20, deadline=None)
def test_documents_are_halved_whatever_the_seed(offline: CorpusText, salt: bytes) -> None:
    dev, evaluation = split_halves(offline.documents, salt, "documents", lambda d: d.id)
    assert {d.id for d in dev} | {d.id for d in evaluation} == {d.id for d in offline.documents}
    assert not {d.id for d in dev} & {d.id for d in evaluation}
    assert 0 <= len(dev) - len(evaluation) <= 1


def test_prompts_come_from_their_sides_documents_only(
    build: Any, scenario_of: ScenarioMaker, offline: CorpusText
) -> None:
    sides: dict[Side, str] = {}
    halves = split_halves(offline.documents, SALT, "documents|offline", lambda d: d.id)
    for side, half in zip(("dev", "eval"), halves, strict=True):
        sides[side] = "\n".join(d.text for d in half)
    for side, other in (("dev", "eval"), ("eval", "dev")):
        for text in _texts(build(scenario_of(128, requests=10), side=side)):
            middle = text[20:80]
            assert middle in sides[side] or "\n\n" in middle  # may cross a document border
            assert middle not in sides[other]


def test_profiles_warmups_and_arrivals_follow_the_scenario(build: Any, scenario_of: ScenarioMaker) -> None:
    requests = build(scenario_of(64, requests=4, warmups=2)).requests
    assert [r.id for r in requests[:3]] == ["warmup/0000", "warmup/0001", "burst/0000"]
    assert [sum(r.profile == p for r in requests) for p in (WARMUP, "burst", "poisson", "constant")] == [2, 4, 4, 4]
    assert all(r.offset_s == 0 for r in requests if r.profile in (WARMUP, "burst"))
    assert [r.offset_s for r in requests if r.profile == "constant"] == [0, 0.25, 0.5, 0.75]
    poisson = [r.offset_s for r in requests if r.profile == "poisson"]
    assert poisson == sorted(poisson)
    assert poisson[-1] > 0


def test_warmups_take_the_suites_shorter_output_and_shift_no_draw(build: Any, scenario_of: ScenarioMaker) -> None:
    short = scenario_of(64, 100).model_copy(update={"warmup_output_tokens": 3})
    full = short.model_copy(update={"warmup_output_tokens": None})
    with_short, with_full = build(short).requests, build(full).requests
    assert with_short[0].max_tokens == 3
    assert 80 <= with_full[0].max_tokens <= 100
    assert with_short[1:] == with_full[1:]


def test_every_builtin_laptop_scenario_builds(build: Any, suite: Suite, tokenizer: ChatTokenizer) -> None:
    for scenario in suite.scenarios:
        requests = build(scenario, side="eval").requests
        own = [r for r in requests if not r.probe]
        assert len(own) == scenario.warmup_requests + sum(p.requests for p in scenario.profiles)
        assert {r.of for r in requests if r.probe == "repeat"} <= {r.id for r in own}
        assert all(tokenizer.prompt_tokens(r.messages) == r.prompt_tokens for r in requests)


def test_a_prompt_too_short_for_its_template_says_what_would_do(build: Any, scenario_of: ScenarioMaker) -> None:
    with pytest.raises(UserError, match=r"input_tokens = 52 .* set input_tokens to at least (\d+)") as caught:
        build(scenario_of(52))
    least = int(re.search(r"at least (\d+)", str(caught.value))[1])  # type: ignore[index]
    build(scenario_of(least))


def test_a_suite_too_large_for_its_corpus_names_the_counts(build: Any, scenario_of: ScenarioMaker) -> None:
    with pytest.raises(UserError, match=r"needs 301 prompts of 7000 tokens, but the dev half .* holds \d+;"):
        build(scenario_of(7000, requests=100))


def test_a_short_salt_is_refused(build: Any, scenario_of: ScenarioMaker) -> None:
    with pytest.raises(UserError, match="salt: 4 bytes"):
        build(scenario_of(64), salt=b"abcd")


def test_a_damaged_set_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    with pytest.raises(UserError, match="no such file"):
        read_requests(path)
    path.write_text('{"id": "burst/0000"\n')
    with pytest.raises(UserError, match=r"requests.jsonl:1: not a SpeedRequest"):
        read_requests(path)


def test_longbench_prompts_are_exact_although_its_pages_are_not_prose(
    build: Any, scenario_of: ScenarioMaker, tokenizer: ChatTokenizer
) -> None:
    corpus = load_corpus(Corpus(name="longbench_v2"), local_data("longbench_v2.jsonl"))
    requests = build(scenario_of(512, requests=40), corpus=corpus).requests
    assert all(tokenizer.prompt_tokens(r.messages) == r.prompt_tokens for r in requests)
    assert len({r.messages[0].content[17:80] for r in requests}) == len(requests)


def test_canaries_are_exact_and_a_pair_differs_in_its_code(
    build: Any, scenario_of: ScenarioMaker, tokenizer: ChatTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "capable", lambda suite: True)
    scenario = scenario_of(input_tokens=300, output_tokens=200, requests=32)
    built = build(scenario, side="eval")
    asked = {r.id: r for r in built.requests if r.probe == "canary"}
    assert len(asked) >= 2
    for request in asked.values():
        assert tokenizer.prompt_tokens(list(request.messages)) == request.prompt_tokens
    for second in (r for r in asked.values() if r.of):
        codes = [canary.code_in(r) for r in (asked[second.of], second)]
        assert None not in codes
        assert codes[0] != codes[1]
        places = [built.requests.index(r) for r in (asked[second.of], second)]
        assert places == sorted(places)
        first, again = (
            r.messages[0].content.split("\n", 1)[1].replace(str(code), "")[:60]
            for r, code in zip((asked[second.of], second), codes, strict=True)
        )
        assert first == again
    assert not [r for r in build(scenario, side="dev").requests if r.probe]
