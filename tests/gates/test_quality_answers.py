"""Answer parsing: recorded outputs of SmolLM2-135M-Instruct, and the traps a parser falls into."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferencebench.gates.answers import LETTERS, parse_choice, parse_short, short_answer

RECORDED = [
    json.loads(line) for line in (Path(__file__).parent / "data" / "factual_outputs.jsonl").read_text().splitlines()
]
"""Greedy answers of at most 12 tokens, each judged by a person."""


@pytest.mark.parametrize("row", RECORDED, ids=lambda row: row["text"][:40])
def test_recorded_outputs_are_judged_as_a_person_did(row: dict) -> None:  # type: ignore[type-arg]
    assert parse_short(row["text"], row["gold"], row["aliases"]) is row["correct"]


@pytest.mark.parametrize(
    "text",
    [
        "Paris",
        "paris.",
        "**Paris**",
        '"Paris"',
        "Answer: Paris",
        "The answer is: Paris",
        "\n\nParis\nFrance",
        "It's Paris!",
        "Paris, France",
        "Paris is the capital of France.",
        "<think>Rome? No: London, Rome, Paris.</think>\nParis",
    ],
)
def test_one_plain_answer_is_right(text: str) -> None:
    assert parse_short(text, "Paris")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "Parisian",
        "London",
        "London, Paris",
        "Paris, London, Berlin, Rome",
        "The answer is Paris, London, Berlin",
        "Paris London Berlin Rome",
        "is Paris London Berlin Rome",
        "London Paris",
        "Paris or London",
        "Paris and London",
        "Paris/London/Berlin",
        "Rome. Paris. London.",
        "London\nParis",
        "1) Rome 2) Paris 3) London",
        "not Paris",
        "It is not in Paris",
        "It is neither London nor Paris",
        "I do not know, perhaps Paris",
    ],
)
def test_shotguns_hedges_and_negations_are_wrong(text: str) -> None:
    assert not parse_short(text, "Paris")


def test_spelling_is_forgiven_where_it_does_not_matter() -> None:
    assert parse_short("Bogotá", "Bogota")
    assert parse_short("The answer is 1,000.", "1000")
    assert parse_short("It is Addis  Ababa", "Addis Ababa")
    assert parse_short("the mother’s", "mother's")
    assert not parse_short("Addis", "Addis Ababa")
    assert not parse_short("There are 12 or 13 months", "12")
    assert not parse_short("anything", "")


words = st.sampled_from(["Rome", "Paris", "London", "Berlin", "Madrid", "Oslo", "Cairo", "Lima"])


@given(
    candidates=st.lists(words, min_size=3, max_size=8, unique=True),
    joint=st.sampled_from([", ", " ", "/", "; ", " or "]),
)
def test_no_list_of_candidates_answers_anything(candidates: list[str], joint: str) -> None:
    text = joint.join(candidates)
    assert not any(parse_short(text, candidate) for candidate in candidates)
    assert not any(parse_short(f"The capital is {text}.", candidate) for candidate in candidates)


@pytest.mark.parametrize(
    ("text", "choices", "expected"),
    [
        # Recorded.
        ("The answer is (B) Kyiv", 7, "B"),
        ("The answer is (B)\n\nThe correct answer is (B)\n\nThe correct answer is (B)", 7, "B"),
        ("The answer is (D) Madrid", 10, "D"),
        # Level 1.
        ("First I thought the answer is (A). But the answer is (C).", 10, "C"),
        ("the answer is **(D)**", 10, "D"),
        ("The answer is $\\boxed{E}$.", 10, "E"),
        ("Answer: F", 10, "F"),
        ("The correct answer is option G, as shown", 10, "G"),
        ("the answer is c.", 4, "C"),
        ("The answer is A because it is larger.", 4, "A"),
        ("The answer is I", 10, "I"),
        ("the answer is (J)", 4, None),
        # Level 2.
        ("Weighing all of it: (C) fits.", 10, "C"),
        ("**B**", 10, "B"),
        ("C.", 10, "C"),
        ("D. The rate doubles", 10, "D"),
        # Level 3.
        ("I would say C", 10, "C"),
        ("Not (A) nor (B), so C", 10, "C"),
        ("Both (B) and (D) look right, D more so", 10, "D"),
        # Words that are no answers.
        ("It is C because a model is a model", 10, "C"),
        ("A model is a thing that C fits", 10, "C"),
        ("I cannot answer this", 10, None),
        ("I'm not sure.", 10, None),
        ("The answer is a matter of taste", 10, None),
        ("The answer is I think C", 10, "C"),
        ("The U.S.A. did", 10, None),
        ("A good question, which I like", 10, None),
        ("(A) red (B) green (C) blue (D) black", 4, None),
        ("Option Z", 4, None),
        ("", 4, None),
        ("<think>the answer is (A)</think>(B)", 4, "B"),
    ],
)
def test_choices(text: str, choices: int, expected: str | None) -> None:
    assert parse_choice(text, choices) == expected


@given(text=st.text(alphabet=st.sampled_from("ABCIJ ().*\nais answer")), choices=st.integers(2, 10))
def test_a_choice_is_one_of_the_options_or_none(text: str, choices: int) -> None:
    assert parse_choice(text, choices) in {*LETTERS[:choices], None}


@given(letter=st.sampled_from(LETTERS), text=st.text(max_size=60).filter(lambda text: "answer" not in text.casefold()))
def test_the_stated_answer_wins_over_any_text_before_it(letter: str, text: str) -> None:
    if "</think>" not in text:
        assert parse_choice(f"{text}\nthe answer is ({letter})", 10) == letter


@pytest.mark.parametrize("choices", [0, 1, 11])
def test_impossible_numbers_of_choices_are_refused(choices: int) -> None:
    with pytest.raises(ValueError):
        parse_choice("A", choices)


def test_the_shown_answer_is_the_first_line() -> None:
    assert short_answer("\n  Paris \nis nice") == "Paris"
    assert short_answer(" \n") is None
