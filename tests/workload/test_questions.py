"""Question sets are disjoint, stratified and keyed; shipped questions are well formed; MMLU-Pro rows render right."""

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferencebench.errors import UserError
from inferencebench.gates.answers import parse_short
from inferencebench.suites.model import Suite
from inferencebench.workload.model import QuestionSet
from inferencebench.workload.questions import build_questions, read_questions
from inferencebench.workload.questions.sources import load_questions
from tests.workload.conftest import SALT, local_data

salts = st.binary(min_size=32, max_size=32)
Side = Literal["dev", "eval"]


def _build(
    suite: Suite, seed: int = 21, side: Side = "dev", salt: bytes = SALT, source: Path | None = None
) -> QuestionSet:
    with TemporaryDirectory() as directory:
        out = Path(directory) / "questions.jsonl"
        built = build_questions(suite, seed=seed, side=side, salt=salt, out=out, source=source)
        assert read_questions(out) == built
        return built


def _ids(questions: QuestionSet) -> set[str]:
    return {question.id for question in questions.questions}


def _with(suite: Suite, **quality: object) -> Suite:
    return suite.model_copy(update={"quality": suite.quality.model_copy(update=quality)})


@given(salt=salts, seed=st.integers(0, 10**6), other_seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_no_dev_question_of_any_seed_is_an_eval_question_of_any_other(
    suite: Suite, salt: bytes, seed: int, other_seed: int
) -> None:
    dev, evaluation = _build(suite, seed, "dev", salt), _build(suite, other_seed, "eval", salt)
    assert len(_ids(dev)) == len(_ids(evaluation)) == suite.quality.questions
    assert not _ids(dev) & _ids(evaluation)
    assert _build(suite, seed, "dev", salt).sha256 == dev.sha256


def test_salt_and_seed_both_choose(suite: Suite) -> None:
    first = _ids(_build(suite, side="eval"))
    assert _ids(_build(suite, side="eval", salt=b"y" * 32)) != first
    assert _ids(_build(suite, seed=22, side="eval")) != first


def test_a_subset_has_the_whole_sets_mix(suite: Suite) -> None:
    everything = Counter(q.category for q in load_questions("factual"))
    drawn = Counter(q.category for q in _build(suite, side="eval").questions)
    share = suite.quality.questions / everything.total()
    assert all(abs(drawn[category] - share * size) <= 2 for category, size in everything.items())


def test_the_factual_set_is_large_distinct_and_gradable() -> None:
    questions = load_questions("factual")
    assert len(questions) >= 350
    assert len({q.messages[0].content for q in questions}) == len(questions)
    for question in questions:
        for text in (question.gold, *question.aliases):
            assert parse_short(text, question.gold, question.aliases), question.id
        assert not parse_short(question.messages[0].content, question.gold, question.aliases), question.id


def test_more_questions_than_the_half_has_is_an_error(suite: Suite) -> None:
    with pytest.raises(UserError, match=r"quality.questions = 400, but the dev half of factual has \d+ of \d+"):
        _build(_with(suite, questions=400))
    with pytest.raises(UserError, match="takes no source file"):
        _build(suite, source=Path("rows.jsonl"))


def test_mmlu_pro_rows_show_the_options_they_have(suite: Suite, tmp_path: Path) -> None:
    rows = [
        {"question_id": i, "question": f"Q{i}?", "options": ["x", "y", "z"], "answer": "C", "category": "law"}
        for i in range(4)
    ]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    mmlu = _with(suite, dataset="mmlu_pro", questions=2)
    question = _build(mmlu, source=source).questions[0]
    text = question.messages[0].content
    assert (question.choices, question.gold, question.category) == (3, "C", "law")
    assert "(A) x\n(B) y\n(C) z\n" in text
    assert "(D)" not in text
    assert "the answer is (X)" in text
    source.write_text(json.dumps(rows[0] | {"answer": "D"}))
    with pytest.raises(UserError, match="question 0: 3 options with answer 'D'"):
        _build(mmlu, source=source)
    source.write_text(json.dumps({"question_id": 1}))
    with pytest.raises(UserError, match="a row lacks question"):
        _build(mmlu, source=source)


def test_the_papers_500_questions_come_from_real_rows(suite: Suite) -> None:
    source = local_data("mmlu_pro.jsonl")
    mmlu = _with(suite, dataset="mmlu_pro", questions=500)
    dev, evaluation = _build(mmlu, source=source), _build(mmlu, seed=1337, side="eval", source=source)
    assert not _ids(dev) & _ids(evaluation)
    assert len(_ids(dev)) == 500
    assert all(q.gold in "ABCDEFGHIJ"[: q.choices] for q in dev.questions)
    assert max(q.choices for q in dev.questions) == 10
