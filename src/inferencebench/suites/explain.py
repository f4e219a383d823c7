"""One line from a pydantic error: which key, what is wrong, and what would be right."""

import difflib
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from inferencebench.suites.model import PROFILE_NAME, SUITE_NAME

EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a string in quotes",
    "bool_type": "true or false",
    "tuple_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
PATTERNS = {
    SUITE_NAME: "lower-case letters, digits, '_', '-' and '.', the first a letter or digit",
    PROFILE_NAME: "lower-case letters, digits, '_' and '-'",
}
TOO_DEEP = "tables or arrays are nested too deeply; a suite needs five levels"


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problem of `error`, raised for `model`, and how many more there are."""
    problems = error.errors(include_url=False)
    first = problems[0]
    rest = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{key_path(first['loc'])}{_problem(first, model)}{rest}"


def key_path(loc: tuple[int | str, ...]) -> str:
    """`scenarios[0].input_tokens: ` of ("scenarios", 0, "input_tokens"); empty for the whole file."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    return f"{text}: " if text else ""


def _problem(problem: Any, model: type[BaseModel]) -> str:
    kind, loc = problem["type"], problem["loc"]
    if kind == "extra_forbidden":
        return _unknown_key(str(loc[-1]), _fields(model, loc[:-1]))
    if kind == "missing":
        return "is missing"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if kind == "value_error":
        return message
    if kind == "json_invalid":
        return TOO_DEEP
    if kind == "string_pattern_mismatch":
        return f"{problem['input']!r} is wrong; give {PATTERNS[problem['ctx']['pattern']]}"
    wanted = EXPECTED.get(kind) or message.removeprefix("Input should be ")
    return f"{problem['input']!r} is wrong; give {wanted}"


def _unknown_key(key: str, allowed: list[str]) -> str:
    near = difflib.get_close_matches(key, allowed, n=1)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    return f"unknown key; known here are {', '.join(allowed)}" if allowed else "unknown key"


def _fields(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Names that the table at `loc` knows; empty where it is not of a fixed shape."""
    found: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, int):
            continue
        field = found.model_fields.get(part) if found else None
        found = next(_models(field.annotation), None) if field else None
    return sorted(found.model_fields) if found else []


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """The models inside an annotation such as `tuple[Profile, ...]` or `Hardware | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)
