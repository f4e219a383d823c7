"""Why a JSON record cannot be read, in one line."""

from pydantic import BaseModel, ValidationError

from inferencebench.suites.explain import explain

CHARACTERS = 160
"""A wrong value may be a whole measurement."""


def unreadable(error: Exception, model: type[BaseModel] = BaseModel) -> str:
    """What is wrong with a file that gave `error` when it was read as a `model`."""
    if not isinstance(error, ValidationError):
        return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        if not first["input"].strip():
            return "empty"
        return "cut off, not JSON" if "EOF" in first["msg"] else "not JSON"
    if not first["loc"]:
        return "not a JSON object"
    text = explain(error, model)
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]}…"
