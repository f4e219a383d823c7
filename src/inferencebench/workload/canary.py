"""Canaries: a code at a random depth of a document, which the answer has to repeat, and the same with another code.

Who reads only a part of the prompt does not find the code; who keeps answers to documents gives the old one. Small
models retrieve nothing reliably (SmolLM2-135M: one in ten), so only larger ones are asked.
"""

import re
from collections.abc import Callable

from inferencebench.suites.model import Suite
from inferencebench.workload.model import SpeedRequest

MIN_PARAMS = 1e9
"""Of the model's body."""
TOKENS = 32
"""Forced output length: enough for a sentence with the code."""
PLANTED = " The access code of this document is {code}."
ASKED = "\n\nWhat is the access code of this document?"
_CODE = re.compile(r"The access code of this document is ([A-Z2-7]{4}-[A-Z2-7]{4})\.")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def capable(suite: Suite) -> bool:
    """Whether the suite's model can be asked: real weights, and enough of them."""
    return suite.model.source.kind != "random" and suite.model.body_params >= MIN_PARAMS


def code_of_digest(digest: bytes) -> str:
    """A code of eight letters and digits."""
    letters = "".join(ALPHABET[byte % 32] for byte in digest[:8])
    return f"{letters[:4]}-{letters[4:]}"


def planting(code: str, depth: float) -> Callable[[str], str]:
    """How a document gets its code, at a word's end after the share `depth` of it, and its question."""

    def plant(text: str) -> str:
        at = text.find(" ", int(depth * len(text)))
        at = len(text) if at < 0 else at
        return text[:at] + PLANTED.format(code=code) + text[at:] + ASKED

    return plant


def code_in(request: SpeedRequest) -> str | None:
    """The code that was planted in a request's prompt."""
    found = _CODE.search(request.messages[-1].content)
    return found[1] if found else None


def says(text: str, code: str) -> bool:
    """Whether an answer has the code, hyphen, spaces and case aside."""
    return _plain(code) in _plain(text)


def _plain(text: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", text.upper())
