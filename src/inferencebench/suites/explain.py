"""One line from a pydantic error: which key, what is wrong, and what would be right."""

import difflib
import typing
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Union

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from inferencebench.suites.model import PROFILE_NAME, SUITE_NAME

Location = tuple[int | str, ...]

EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "a string in quotes",
    "bool_type": "true or false",
    "tuple_type": "an array",
    "list_type": "an array",
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
    """The first problem of `error`, raised for `model`, and how many more there are: each wrong value is one."""
    problems: dict[Location, list[Any]] = {}
    for problem in error.errors(include_url=False):
        problems.setdefault(_place(model, problem["loc"]), []).append(problem)
    # What is said of an array or a table follows from what is wrong in it; of a union, its closest branch counts.
    holders = {place[:length] for place in problems for length in range(len(place))}
    places = [place for place in problems if place not in holders]
    # A key that is missing may only be misspelt: the one that is not known says so.
    first, *others = sorted(places, key=lambda place: problems[place][0]["type"] == "missing")
    rest = f" (and {len(others)} more)" if others else ""
    return f"{key_path(first)}{_problem(problems[first], first, model)}{rest}"


def key_path(loc: Location) -> str:
    """`scenarios[0].input_tokens: ` of ("scenarios", 0, "input_tokens"); empty for the whole file."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    return f"{text}: " if text else ""


def _problem(problems: list[Any], loc: Location, model: type[BaseModel]) -> str:
    """What is wrong with one value; the problems are those of a union's branches."""
    problem = problems[0]
    kind = problem["type"]
    if kind == "extra_forbidden":
        return _unknown_key(str(loc[-1]), sorted(_keys(model, loc[:-1])))
    if kind == "missing":
        return "is missing"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if kind == "value_error":
        return message
    if kind == "json_invalid":
        return TOO_DEEP
    if kind == "string_pattern_mismatch":
        return f"{problem['input']!r} is wrong; give {PATTERNS[problem['ctx']['pattern']]}"
    *others, last = dict.fromkeys(_wanted(one, loc, model) for one in problems)
    wanted = f"{', '.join(others)} or {last}" if others else last
    return f"{problem['input']!r} is wrong; give {wanted}"


def _wanted(problem: Any, loc: Location, model: type[BaseModel]) -> str:
    needed = [key for key, field in _keys(model, loc).items() if field.is_required()]
    if problem["type"] in ("model_type", "model_attributes_type") and needed:
        return f"a table such as {{{', '.join(f'{key} = …' for key in needed)}}}"
    return EXPECTED.get(problem["type"]) or str(problem["msg"]).removeprefix("Input should be ")


def _unknown_key(key: str, allowed: list[str]) -> str:
    near = difflib.get_close_matches(key, allowed, n=1)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    return f"unknown key; known here are {', '.join(allowed)}" if allowed else "unknown key"


def _keys(model: type[BaseModel], loc: Location) -> dict[str, FieldInfo]:
    """The keys that the table at `loc` knows; empty where it is not of a fixed shape."""
    found: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, int):
            continue
        field = found.model_fields.get(part) if found else None
        found = next(_models(field.annotation), None) if field else None
    return found.model_fields if found else {}


def _place(annotation: Any, loc: Location) -> Location:
    """Where the value stands in the file: pydantic's location, less its name for a branch of a union."""
    if not loc:
        return ()
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(loc[0]))
        return (loc[0], *_place(field.annotation if field else None, loc[1:]))
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _place(arguments[0], loc)
    if origin in (Union, UnionType):
        branches = [argument for argument in arguments if argument is not NoneType]
        return _place(branches[0], loc) if len(branches) == 1 else loc[1:]
    return (loc[0], *_place(arguments[-1 if origin is dict else 0], loc[1:])) if arguments else loc


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """The models inside an annotation such as `tuple[Profile, ...]` or `Hardware | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)
