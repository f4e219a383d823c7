"""Damaged records: the line says what is wrong with which key."""

import pytest
from pydantic import ValidationError

from inferencebench.run.record import Manifest, Measured
from inferencebench.suites.unreadable import CHARACTERS, unreadable

BROKEN = {
    "": "empty",
    " \n": "empty",
    '{"files": [': "cut off, not JSON",
    "files": "not JSON",
    "[]": "not a JSON object",
    "{}": r"files: is missing \(and 3 more\)",
    '{"files": [], "left_out": [], "sha256": "", "bytes": "many"}': "bytes: 'many' is wrong; give .*",
    '{"files": [], "left_out": [], "sha256": "", "bytes": 0, "more": 1}': "more: unknown key; .*",
}


@pytest.mark.parametrize(("text", "said"), BROKEN.items(), ids=range(len(BROKEN)))
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Manifest.model_validate_json(text)
    line = unreadable(caught.value, Manifest)
    assert "\n" not in line
    with pytest.raises(ValueError, match=f"^{said}$"):
        raise ValueError(line)


def test_a_huge_value_is_cut() -> None:
    with pytest.raises(ValidationError) as caught:
        Measured.model_validate({"launches": "x" * 10_000})
    assert len(unreadable(caught.value, Measured)) <= CHARACTERS + 1


def test_errors_of_other_kinds() -> None:
    assert unreadable(FileNotFoundError(2, "No such file or directory", "x")) == "No such file or directory"
    assert unreadable(ValueError("first\nsecond")) == "first"
    assert unreadable(KeyError()) == "KeyError"


def test_a_misspelt_key_is_said_before_the_one_that_is_then_missing() -> None:
    with pytest.raises(ValidationError) as caught:
        Manifest.model_validate_json('{"files": [], "left_out": [], "sha265": "", "bytes": 0}')
    assert unreadable(caught.value, Manifest) == "sha265: unknown key; did you mean sha256? (and 1 more)"
