"""Drawing a question set: (suite, seed, side, salt) to the questions of one quality gate."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from inferencebench.errors import UserError
from inferencebench.suites.model import Suite
from inferencebench.workload.draws import digest
from inferencebench.workload.model import Question, QuestionSet
from inferencebench.workload.questions.sources import load_questions
from inferencebench.workload.records import read_records, write_records

Side = Literal["dev", "eval"]


def build_questions(
    suite: Suite, *, seed: int, side: Side, salt: bytes, out: Path, source: Path | None = None
) -> QuestionSet:
    """Write the questions of one side of a seed pair to the file `out`.

    The data set is halved into dev and eval by the salt alone, so that no seed's dev questions are another's eval
    questions; the seed draws from the side's half. Both keep the data set's mix of categories. `source`: a local JSONL
    file of MMLU-Pro rows; without it the hub is asked. Raises `UserError` when the half is too small.
    """
    everything = load_questions(suite.quality.dataset, source)
    wanted = suite.quality.questions
    half = _half(everything, salt, side)
    if wanted > len(half):
        raise UserError(
            f"suite {suite.name}: quality.questions = {wanted}, but the {side} half of {suite.quality.dataset} has "
            f"{len(half)} of {len(everything)}; set it to at most {len(everything) // 2}"
        )
    questions = tuple(_stratified(half, salt, f"{seed}|{side}")[:wanted])
    return QuestionSet(out, write_records(out, questions), questions)


def read_questions(path: Path) -> QuestionSet:
    """A question set that `build_questions` wrote. Raises `UserError` for a damaged or missing file."""
    questions, sha256 = read_records(path, Question)
    return QuestionSet(path, sha256, questions)


def _half(questions: Sequence[Question], salt: bytes, side: Side) -> list[Question]:
    """Every other question of each category, in the salt's order."""
    ranked = sorted(questions, key=lambda q: (q.category, digest(salt, "questions", "side", q.id)))
    return ranked[side == "eval" :: 2]


def _stratified(questions: Sequence[Question], salt: bytes, purpose: str) -> list[Question]:
    """A keyed random order whose every stretch has about the whole's mix of categories.

    Each question's place is its rank within its category divided by the category's size."""
    keys = {question.id: digest(salt, "questions", purpose, question.id) for question in questions}
    sizes = Counter(question.category for question in questions)
    ranks: Counter[str] = Counter()
    placed = []
    for question in sorted(questions, key=lambda q: keys[q.id]):
        place = (ranks[question.category] + 0.5) / sizes[question.category]
        ranks[question.category] += 1
        placed.append((place, keys[question.id], question))
    return [question for _, _, question in sorted(placed, key=lambda item: item[:2])]
