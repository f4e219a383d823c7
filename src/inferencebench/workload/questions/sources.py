"""Where questions come from: MMLU-Pro rows (hub or local file), or the factual set shipped with the package."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from inferencebench.errors import UserError
from inferencebench.workload.hub import hub_rows, local_rows
from inferencebench.workload.model import Message, Question

MMLU_PRO_REPO = "TIGER-Lab/MMLU-Pro"
LETTERS = "ABCDEFGHIJ"


def load_questions(dataset: Literal["mmlu_pro", "factual"], source: Path | None = None) -> tuple[Question, ...]:
    """All questions of a data set, in its own order, with distinct ids.

    Raises `UserError` for a bad file, `MissingError` without `datasets`."""
    if dataset == "factual":
        if source is not None:
            raise UserError(f"{source}: the factual set is shipped with the package and takes no source file")
        return _factual()
    where = str(source or MMLU_PRO_REPO)
    rows = local_rows(source) if source is not None else hub_rows(MMLU_PRO_REPO, "test")
    return _mmlu_pro(rows, where)


@lru_cache(maxsize=1)
def _factual() -> tuple[Question, ...]:
    lines = files("inferencebench.workload.questions").joinpath("factual.jsonl").read_text("utf-8").splitlines()
    return tuple(_factual_question(json.loads(line)) for line in lines)


def _factual_question(row: Mapping[str, Any]) -> Question:
    return Question(
        id=f"factual/{row['id']}",
        messages=(Message(role="user", content=row["question"]),),
        gold=row["gold"],
        aliases=tuple(row["aliases"]),
        category=row["category"],
    )


def _mmlu_pro(rows: Iterable[Mapping[str, Any]], where: str) -> tuple[Question, ...]:
    questions = tuple(_mmlu_pro_question(row, where) for row in rows)
    if not questions or len({question.id for question in questions}) != len(questions):
        raise UserError(f"{where}: {len(questions)} questions; at least one, with distinct question_id")
    return questions


def _mmlu_pro_question(row: Mapping[str, Any], where: str) -> Question:
    """One row as a zero-shot question over the options it has: ten or fewer."""
    try:
        number, text, options, gold = row["question_id"], row["question"], row["options"], row["answer"]
        category = row["category"]
    except KeyError as error:
        raise UserError(f"{where}: a row lacks {error.args[0]}; MMLU-Pro rows are wanted") from None
    if not 2 <= len(options) <= len(LETTERS) or gold not in LETTERS[: len(options)]:
        raise UserError(
            f"{where}: question {number}: {len(options)} options with answer {gold!r}; 2 to 10 and a letter"
        )
    listed = "\n".join(f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))
    prompt = (
        f"Here is a multiple-choice question about {category}. Exactly one of its {len(options)} options is right.\n\n"
        f"{text}\n\n{listed}\n\n"
        f'Think it through briefly, then finish with the sentence "the answer is (X)", where X is the letter of the '
        f"right option."
    )
    return Question(
        id=f"mmlu_pro/{number}",
        messages=(Message(role="user", content=prompt),),
        gold=gold,
        choices=len(options),
        category=category,
    )
