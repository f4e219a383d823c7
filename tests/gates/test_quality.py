"""The quality verdict: counts, the threshold, completeness, and its statistics against known values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferencebench.errors import UserError
from inferencebench.gates.quality import Answer, agreement, grade, mcnemar, unjudged, verdict, wilson
from inferencebench.workload.model import Message, Question


def _question(number: int, gold: str = "Paris", choices: int = 0) -> Question:
    return Question(id=f"q/{number}", messages=(Message(role="user", content="?"),), gold=gold, choices=choices)


def _answers(correct: list[bool], errors: int = 0) -> list[Answer]:
    """Answers of numbered questions; the last `errors` are unanswered."""
    answered = len(correct) - errors
    return [
        Answer(
            question_id=f"q/{i}",
            text="",
            error=None if i < answered else "timeout",
            parsed=None,
            correct=right and i < answered,
        )
        for i, right in enumerate(correct)
    ]


def _right(n: int, total: int = 200) -> list[Answer]:
    return _answers([i < n for i in range(total)])


def test_grading_reads_letters_short_answers_and_failures() -> None:
    questions = [_question(0), _question(1, "C", 4), _question(2), _question(3), _question(4, "C", 4)]
    answers = grade(
        questions, {"q/0": "It is Paris.\nYes", "q/1": "the answer is (C)", "q/4": "no idea"}, {"q/2": "http 500"}
    )
    assert [a.correct for a in answers] == [True, True, False, False, False]
    assert [a.parsed for a in answers] == ["It is Paris.", "C", None, None, None]
    assert [a.error for a in answers] == [None, None, "http 500", "not asked", None]


def test_texts_of_other_questions_are_refused() -> None:
    with pytest.raises(UserError, match="q/9 is not in the question set"):
        grade([_question(0)], {"q/9": "Paris"})


def test_the_papers_threshold_is_121_6_of_128() -> None:
    baseline = _right(128, 500)
    assert verdict(_right(122, 500), baseline, 0.95, 1.0).passed is True
    assert verdict(_right(121, 500), baseline, 0.95, 1.0).passed is False


def test_the_exact_threshold_passes_at_every_tau() -> None:
    for tau in (0.60, 0.70, 0.80, 0.85, 0.90, 0.95):
        assert verdict(_right(round(tau * 100)), _right(100), tau, 1.0).passed is True
        assert verdict(_right(round(tau * 100) - 1), _right(100), tau, 1.0).passed is False


def test_stored_answers_are_judged_again_at_another_tau() -> None:
    stored = [Answer.model_validate_json(a.model_dump_json()) for a in _right(90)]
    assert verdict(stored, _right(100), 0.95, 1.0).passed is False
    assert verdict(stored, _right(100), 0.90, 1.0).passed is True


def test_unanswered_questions_count_as_wrong_and_make_the_gate_incomplete() -> None:
    answers = _answers([True] * 100, errors=5)
    strict, lenient = verdict(answers, _right(90, 100), 0.95, 1.0), verdict(answers, _right(90, 100), 0.95, 0.95)
    assert (strict.answered, strict.correct, strict.incomplete, strict.passed) == (95, 95, True, None)
    assert (lenient.incomplete, lenient.passed) == (False, True)


def test_without_a_baseline_or_its_right_answers_there_is_no_verdict() -> None:
    alone = verdict(_right(50), None, 0.95, 1.0)
    assert (alone.passed, alone.ratio, alone.mcnemar_p, alone.baseline_accuracy) == (None, None, None, None)
    assert alone.accuracy == 0.25
    hopeless = verdict(_right(50), _right(0), 0.95, 1.0)
    assert (hopeless.passed, hopeless.ratio, hopeless.baseline_accuracy) == (None, None, 0.0)


def test_another_question_set_is_refused() -> None:
    with pytest.raises(UserError, match="baseline answered another question set"):
        verdict(_right(5), _right(5, 100), 0.95, 1.0)
    with pytest.raises(UserError, match="no answers"):
        verdict([], None, 0.95, 1.0)


def test_pairs_are_counted_by_question_whatever_their_order() -> None:
    answers, baseline = _answers([True, True, False, False]), _answers([True, False, True, True])
    result = verdict(answers, baseline[::-1], 0.95, 1.0)
    assert (result.lost, result.gained) == (2, 1)


def test_statistics_against_published_values() -> None:
    # Newcombe 1998, Stat. Med. 17:857, table I, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    # Binomial tails by hand.
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(1, 7) == pytest.approx(2 * (1 + 8) / 256)
    assert mcnemar(3, 3) == mcnemar(0, 0) == 1.0


def test_a_clear_loss_is_told_from_an_accident() -> None:
    baseline = _right(140)
    # By hand: 132 differences of 0.05, 8 of -0.95 and 60 of 0 have z = -0.364.
    assert verdict(_right(132), baseline, 0.95, 1.0).below_tau_p == pytest.approx(0.358, abs=0.001)
    assert verdict(_right(40), baseline, 0.95, 1.0).below_tau_p < 1e-6  # type: ignore[operator]
    assert verdict(baseline, baseline, 0.95, 1.0).below_tau_p > 0.95  # type: ignore[operator]


outcomes = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(pairs=outcomes, tau=st.floats(0.5, 1.0), lower=st.floats(0.1, 1.0))
def test_verdicts_are_consistent(pairs: list[tuple[bool, bool]], tau: float, lower: float) -> None:
    answers, baseline = _answers([a for a, _ in pairs]), _answers([b for _, b in pairs])
    result = verdict(answers, baseline, tau, 1.0)
    assert result.accuracy_low <= result.accuracy <= result.accuracy_high
    assert 0 <= result.mcnemar_p <= 1  # type: ignore[operator]
    assert 0 <= result.below_tau_p <= 1  # type: ignore[operator]
    assert result.correct - result.baseline_correct == result.gained - result.lost  # type: ignore[operator]
    if result.passed:
        assert verdict(answers, baseline, tau * lower, 1.0).passed
    if result.correct >= (result.baseline_correct or 0) > 0:
        assert result.passed


def test_agreement_is_the_common_beginning_of_both_answers() -> None:
    def answers(*texts: str) -> list[Answer]:
        return [
            Answer(question_id=str(i), text=text, error=None, parsed=None, correct=False)
            for i, text in enumerate(texts)
        ]

    reference = answers("one two", "three", "")
    assert agreement(reference, reference) == pytest.approx(2 / 3)  # an empty answer agrees with nothing
    assert agreement(answers("one too", "nil", "x"), reference) == pytest.approx(5 / 7 / 3)
    assert agreement(answers("another", "words"), reference) == 0.0
    assert agreement([], reference) == 0.0


def test_random_weights_are_asked_for_complete_answers_only() -> None:
    def answers(text: str, error: str | None = None) -> list[Answer]:
        return [Answer(question_id="q", text=text, error=error, parsed=None, correct=False)]

    reference, other, none = answers("one two"), answers("another"), answers("", "timeout")
    found = [unjudged(verdict(rows, reference, 0.95, 1.0), rows, reference) for rows in (reference, other, none)]
    assert [(q.passed, q.incomplete, q.agreement) for q in found] == [
        (True, False, 1.0),
        (True, False, 0.0),
        (None, True, 0.0),
    ]
