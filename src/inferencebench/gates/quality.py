"""The quality gate: graded answers and the verdict against the baseline's. Pure: it reads texts, never a server.

Answers are stored with the run, so that `verdict` can be applied again at another tau.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from inferencebench.errors import UserError
from inferencebench.gates.answers import parse_choice, parse_short, short_answer
from inferencebench.suites.model import Record
from inferencebench.workload.model import Question

Z_95 = 1.959963984540054
"""Two-sided 95 % point of the normal distribution."""


class Answer(Record):
    """One graded answer. Unanswered questions have `error` set and count as wrong."""

    question_id: str
    text: str
    error: str | None
    """Why there is no answer: `http 500`, `timeout`, `not asked`, ...; None when the server answered."""
    parsed: str | None
    """The letter, or the first line of a short answer; None when nothing could be read from the text."""
    correct: bool


class Interval(NamedTuple):
    """A confidence interval of a proportion."""

    low: float
    high: float


class QualityResult(Record):
    """The gate's verdict. Accuracies are over all questions, answered or not."""

    correct: int
    answered: int
    total: int
    accuracy: float
    accuracy_low: float
    """Wilson 95 % interval of the accuracy."""
    accuracy_high: float
    baseline_correct: int | None
    baseline_accuracy: float | None
    ratio: float | None
    """Accuracy over the baseline's; None without a baseline, or where that has no right answer."""
    tau: float
    min_answered: float
    passed: bool | None
    """accuracy >= tau * baseline's; None when incomplete, or when there is no baseline to compare with."""
    incomplete: bool
    """Fewer than `min_answered` of the questions were answered."""
    lost: int | None
    """Questions the baseline answered rightly and this one did not."""
    gained: int | None
    """The reverse of `lost`."""
    mcnemar_p: float | None
    """Exact two-sided McNemar test of equal accuracy on the same questions."""
    below_tau_p: float | None
    """One-sided p of "accuracy < tau * baseline's", paired: small when the gate's failure is no accident."""
    agreement: float | None = None
    """Mean share of an answer, from its first character on, that is the baseline's own; on random weights only, and not
    judged: see `unjudged`."""


def grade(
    questions: Sequence[Question], texts_by_id: Mapping[str, str], errors_by_id: Mapping[str, str] | None = None
) -> list[Answer]:
    """One graded answer per question, in the questions' order; a question in neither mapping was not asked.

    Raises `UserError` for texts of other questions: they would come from another question set."""
    errors = errors_by_id or {}
    strangers = (texts_by_id.keys() | errors.keys()) - {question.id for question in questions}
    if strangers:
        raise UserError(f"answers: {sorted(strangers)[0]} is not in the question set; grade against the set asked")
    return [_graded(question, texts_by_id.get(question.id), errors.get(question.id)) for question in questions]


def _graded(question: Question, text: str | None, error: str | None) -> Answer:
    if text is None or error is not None:
        return Answer(question_id=question.id, text=text or "", error=error or "not asked", parsed=None, correct=False)
    if question.choices:
        parsed = parse_choice(text, question.choices)
        correct = parsed == question.gold
    else:
        parsed = short_answer(text)
        correct = parse_short(text, question.gold, question.aliases)
    return Answer(question_id=question.id, text=text, error=None, parsed=parsed, correct=correct)


def verdict(
    answers: Sequence[Answer], baseline_answers: Sequence[Answer] | None, tau: float, min_answered: float
) -> QualityResult:
    """The gate at `tau` (share of the baseline's accuracy) and `min_answered` (share of the questions).

    Raises `UserError` without answers, or when the baseline answered another question set."""
    if not answers:
        raise UserError("quality: no answers; a question set has at least one question")
    total, correct = len(answers), sum(answer.correct for answer in answers)
    answered = sum(answer.error is None for answer in answers)
    incomplete = answered < min_answered * total - 1e-9
    interval = wilson(correct, total)
    paired = _paired(answers, baseline_answers, tau) if baseline_answers is not None else None
    comparable = paired is not None and paired.baseline_correct > 0
    return QualityResult(
        correct=correct,
        answered=answered,
        total=total,
        accuracy=correct / total,
        accuracy_low=interval.low,
        accuracy_high=interval.high,
        baseline_correct=paired.baseline_correct if paired else None,
        baseline_accuracy=paired.baseline_correct / total if paired else None,
        ratio=correct / paired.baseline_correct if paired and comparable else None,
        tau=tau,
        min_answered=min_answered,
        # The margin keeps 0.95 * 120 = 114 right answers passing whatever the rounding of tau.
        passed=correct >= tau * paired.baseline_correct - 1e-9 if paired and comparable and not incomplete else None,
        incomplete=incomplete,
        lost=paired.lost if paired else None,
        gained=paired.gained if paired else None,
        mcnemar_p=mcnemar(paired.lost, paired.gained) if paired else None,
        below_tau_p=paired.below_tau_p if paired else None,
    )


def unjudged(found: QualityResult, answers: Sequence[Answer], reference: Sequence[Answer]) -> QualityResult:
    """The verdict on random weights: complete answers pass; their agreement with the reference's is a number to read.

    Such weights answer nothing rightly, and their next tokens are all nearly as likely, so that any rounding changes
    the text: an honest 8-bit engine agrees no more than another model does (docs/h100.md), and no line parts them."""
    passed = None if found.incomplete else True
    return found.model_copy(update={"agreement": agreement(answers, reference), "passed": passed})


def agreement(answers: Sequence[Answer], reference: Sequence[Answer]) -> float:
    """Mean over the questions of the common beginning of both greedy answers, as a share of the longer one.

    Equal models part where two tokens are nearly as likely; what follows is then another text, and counts as lost."""
    texts = {answer.question_id: answer.text for answer in reference}
    pairs = [(answer.text, texts.get(answer.question_id, "")) for answer in answers]
    return sum(_common(*pair) / max(1, *map(len, pair)) for pair in pairs) / max(1, len(pairs))


def _common(a: str, b: str) -> int:
    """Characters of the common beginning."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def wilson(successes: int, total: int, z: float = Z_95) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927, JASA 22:209)."""
    if not 0 <= successes <= total or total == 0:
        raise ValueError(f"{successes} of {total} is no proportion")
    share, square = successes / total, z * z / total
    centre = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / total + square / (4 * total))
    # The ends are exact where the formula's rounding would put the interval beside its own proportion.
    return Interval(
        0.0 if successes == 0 else max(0.0, centre - half), 1.0 if successes == total else min(1.0, centre + half)
    )


def mcnemar(lost: int, gained: int) -> float:
    """Exact two-sided McNemar p: the discordant pairs as fair coin throws (McNemar 1947; binomial form)."""
    discordant = lost + gained
    tail = sum(math.comb(discordant, k) for k in range(min(lost, gained) + 1))
    return min(1.0, 2 * tail / (1 << discordant))


class _Paired(NamedTuple):
    baseline_correct: int
    lost: int
    gained: int
    below_tau_p: float


def _paired(answers: Sequence[Answer], baseline: Sequence[Answer], tau: float) -> _Paired:
    right = {answer.question_id: answer.correct for answer in baseline}
    if len(right) != len(baseline) or right.keys() != {answer.question_id for answer in answers}:
        raise UserError("quality: the baseline answered another question set; measure it on this suite, seed and salt")
    pairs = [(answer.correct, right[answer.question_id]) for answer in answers]
    lost = sum(theirs and not ours for ours, theirs in pairs)
    gained = sum(ours and not theirs for ours, theirs in pairs)
    return _Paired(sum(right.values()), lost, gained, _below_tau_p(pairs, tau))


def _below_tau_p(pairs: Sequence[tuple[bool, bool]], tau: float) -> float:
    """One-sided p of the mean of (ours - tau * theirs) being negative, by its paired normal approximation."""
    differences = [ours - tau * theirs for ours, theirs in pairs]
    mean = sum(differences) / len(differences)
    variance = sum((d - mean) ** 2 for d in differences) / len(differences) ** 2
    if variance == 0:
        return 0.0 if mean < 0 else 1.0
    return 0.5 * math.erfc(-mean / math.sqrt(2 * variance))
