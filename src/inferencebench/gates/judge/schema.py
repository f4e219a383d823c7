"""The form of a judge's answer, as JSON schema, and reading an answer back."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from inferencebench.gates.judge.model import Label, Opinion

_QUOTE = {
    "type": "object",
    "properties": {"exhibit": {"type": "string"}, "line": {"type": "integer"}, "text": {"type": "string"}},
    "required": ["exhibit", "line", "text"],
    "additionalProperties": False,
}
_FINDING = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": [label.value for label in Label]},
        "present": {"type": "boolean"},
        "quotes": {"type": "array", "items": _QUOTE},
        "explanation": {"type": "string"},
    },
    "required": ["label", "present", "quotes", "explanation"],
    "additionalProperties": False,
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"findings": {"type": "array", "items": _FINDING}},
    "required": ["findings"],
    "additionalProperties": False,
}


def read(answer: str | Mapping[str, object]) -> Opinion:
    """An opinion on every label, each once. Raises ValueError for anything else."""
    try:
        value = json.loads(answer) if isinstance(answer, str) else answer
        opinion = Opinion.model_validate_json(json.dumps(value))
    except (TypeError, ValidationError) as error:
        raise ValueError(f"not an opinion: {str(error).splitlines()[0]}") from None
    labels = [finding.label for finding in opinion.findings]
    if sorted(labels) != sorted(Label):
        raise ValueError("not an opinion: it must have each label once")
    return opinion
