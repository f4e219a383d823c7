"""Reading an answer out of a model's text: the letter of a multiple choice, or a short factual answer.

Both parsers are deterministic and lean to "no answer": a text that names many candidates answers nothing.
"""

import re
import unicodedata
from collections.abc import Sequence

LETTERS = "ABCDEFGHIJ"

_STATED = re.compile(
    r"\banswer(?:\s+(?:option|choice))?\s*(?:\bis\b|\bwould\s+be\b|:|=)\s*:?\s*(?:(?:option|choice|letter)\s+)?"
    r"(?:\\?boxed|\\?text|[*_`$\\{\s])*(\()?(?:\\?text|[*_`{\\])*([A-Za-z])(?![\w'’])(?!-\w)"
)
"""Level 1: "the answer is (C)", "Answer: **C**", "answer is $\\boxed{C}$"."""

_ISOLATED = re.compile(
    r"\(([A-Z])\)|\*\*\(?([A-Z])[).:]{0,2}\*\*|^[ \t]*([A-Z])[ \t]*[).:]?[ \t]*$|^[ \t]*([A-Z])[).:][ \t]", re.M
)
"""Level 2: a letter that typography sets apart: "(C)", "**C**", alone on a line, or "C. ..." at a line's start."""

_STANDALONE = re.compile(r"(?<![\w'’.-])(?<!\bnot )([A-Z])(?![\w'’]|-\w|\.[A-Z])")
"""Level 3: a capital letter that is a word of its own."""

_GOES_ON = re.compile(r"\s+(?!(?:because|since|as|for|and|or|is|was|which|due|here|with|in)\b)[a-z]")
"""What follows the article in "A model is ..." or the pronoun in "I cannot", but not a letter in "A because ..."."""


def parse_choice(text: str, choices: int) -> str | None:
    """The chosen letter of `choices` options (A, B, ...), or None.

    Three levels, each tried only when the one before found nothing: "the answer is (X)" (the last one: second thoughts
    count) → the only letter set apart by typography → the last standalone capital letter. The article "a", the pronoun
    "I" and an echo of the list of options are no answers. Raises `ValueError` for an impossible `choices`."""
    if not 2 <= choices <= len(LETTERS):
        raise ValueError(f"choices must be 2..{len(LETTERS)}, got {choices}")
    letters = LETTERS[:choices]
    text = _after_thinking(text)
    stated = [m[2].upper() for m in _STATED.finditer(text) if m[2].upper() in letters and _is_stated(text, m)]
    if stated:
        return stated[-1]
    isolated = {m[m.lastindex or 0] for m in _ISOLATED.finditer(text)} & set(letters)
    if len(isolated) == 1:
        return isolated.pop()
    standalone = "".join(m[1] for m in _STANDALONE.finditer(text) if m[1] in letters and not _is_word(text, m, 1))
    if not standalone or (choices > 2 and standalone.endswith(letters)):
        return None
    return standalone[-1]


def _is_stated(text: str, match: re.Match[str]) -> bool:
    """Whether the letter after "answer is" is an option: bracketed, or not the article or pronoun of a sentence."""
    if match[1]:
        return True
    if match[2].islower():
        return re.match(r"\s*(?:[.,;:)!*]|$)", text[match.end() :]) is not None
    return not _is_word(text, match, 2)


def _is_word(text: str, match: re.Match[str], group: int) -> bool:
    """Whether a capital "A" or "I" is the article or the pronoun rather than an option."""
    return match[group] in "AI" and _GOES_ON.match(text, match.end(group)) is not None


_LINK_WORDS = (
    "is are was were be has have a an the in on at of by to with as from for its it's mr mount called named known"
    " located becomes become means it they there answer word equals about also indeed actually typically usually"
    " commonly officially mainly mostly primarily predominantly approximately symbol famous"
)
"""Words that may stand right before an answer: "... is called a kitten"."""
_FOLLOWING_WORDS = (
    "is are was were has have had in on at of by to as from for with which that who while because since when where"
    " but it they located known called wrote discovered invented painted composed proposed"
)
"""Words after which a sentence may go on: "Paris is the capital", "mice in the plural"."""
_LINKS = frozenset(_LINK_WORDS.split())
_FOLLOWERS = frozenset(_FOLLOWING_WORDS.split())
_HEDGES = frozenset({"or", "not", "either", "neither", "nor", "isn't", "never"})
_MAX_ITEM_WORDS = 3

_CLAUSE_END = re.compile(r"[,;|/()\[\]–—]|(?<=\w\w)[.!?](?=\s|$)")
_SENTENCE_END = re.compile(r"(?<=\w\w)[.!?]+(?=\s|$)|$")
_MARKS = re.compile(r"[\"“”„«»*_`#]")
_WORD = re.compile(r"\w+(?:['-]\w+)*")


def parse_short(text: str, gold: str, aliases: Sequence[str] = ()) -> bool:
    """Whether the first sentence of `text` gives `gold` or an alias as its one answer.

    Case, accents, quotation marks and Markdown do not matter; whole words do. The answer is looked for in the first
    clause, as its beginning or as what a linking word leads to ("... is Paris"). Lists of three or more candidates,
    alternatives ("Paris or Rome") and negations are wrong wherever the gold stands in them, so naming many candidates
    never pays."""
    clauses = _clauses(text)
    if not clauses or _is_list(clauses):
        return False
    return any(_gives(clauses[0], _words(candidate)) for candidate in (gold, *aliases))


def short_answer(text: str) -> str | None:
    """The first line of an answer as it is shown in records, or None when there is no text."""
    lines = [line.strip() for line in _after_thinking(text).splitlines() if line.strip()]
    return lines[0] if lines else None


def _after_thinking(text: str) -> str:
    """The text behind a reasoning block, where a server leaves one in the answer."""
    return text.rpartition("</think>")[2]


def _words(text: str) -> list[str]:
    """Folded words: no accents, no case, no quotation marks; digits grouped by commas are joined."""
    folded = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return _WORD.findall(re.sub(r"(?<=\d),(?=\d{3}\b)", "", folded.casefold().replace("’", "'")))


def _clauses(text: str) -> list[list[str]]:
    """The clauses of the first sentence, each as words."""
    line = _MARKS.sub("", short_answer(text) or "")
    end = _SENTENCE_END.search(line)
    sentence = re.sub(r"(?<=\d),(?=\d{3}\b)", "", line[: end.start()] if end else line)
    clauses = (_words(clause) for clause in _CLAUSE_END.split(sentence))
    return [clause for clause in clauses if clause]


def _is_list(clauses: list[list[str]]) -> bool:
    """Whether short items follow the first clause: "Rome, Paris, Berlin". One ("Paris, France") specifies."""
    items = [clause for clause in clauses[1:] if len(clause) <= _MAX_ITEM_WORDS]
    return len(items) >= 2


def _gives(clause: list[str], answer: list[str]) -> bool:
    """Whether the clause gives the answer's words at an answer's place and nothing beside them."""
    size = len(answer)
    return size > 0 and any(
        clause[i : i + size] == answer and _may_lead(clause[:i]) and _may_follow(clause[i + size :], answer)
        for i in range(len(clause) - size + 1)
    )


def _may_lead(before: list[str]) -> bool:
    return not before or (before[-1] in _LINKS and not _HEDGES & set(before))


def _may_follow(after: list[str], answer: list[str]) -> bool:
    """An answer ends its clause, or the sentence goes on; numbers may have units; a last "and" or "or" was cut off."""
    if not after or after in (["and"], ["or"]) or after[0] in _FOLLOWERS:
        return True
    return answer[-1].isdigit() and not after[0].isdigit() and after[0] not in {"and", "or"}
