"""The excerpt of a trajectory that a run's page shows: its beginning and its end, cut, redacted, never parsed whole.

A transcript may have 50 MB; a page that showed it would help nobody, and reading 180 of them would take minutes.
"""

from collections.abc import Iterable
from pathlib import Path

from pydantic import JsonValue, ValidationError

from inferencebench.agents.trajectory import Step
from inferencebench.agents.usage import Usage
from inferencebench.site import reading
from inferencebench.site.model import Excerpt
from inferencebench.site.redact import redacted

PIECE_BYTES = 192 << 10
"""Read from each end of the file."""
STEPS = 40
"""Most steps shown of each end."""
CHARACTERS = 1200
"""Most characters of one step."""


def excerpt(path: Path) -> Excerpt | None:
    """The excerpt; None where the run has no trajectory. Raises OSError where it cannot be read."""
    try:
        first = reading.head(path, PIECE_BYTES)
    except FileNotFoundError:
        return None
    lines = first.data.split(b"\n")
    if first.size <= PIECE_BYTES:
        steps = _steps(lines)
        return Excerpt(head=steps[:STEPS], tail=steps[STEPS:][-STEPS:], file_bytes=first.size)
    last = reading.tail(path, PIECE_BYTES)
    # The line at the cut is torn.
    ends = last.data.rstrip(b"\n").split(b"\n")[1:]
    head, tail = _steps(lines[:-1][:STEPS]), _steps(ends[-STEPS:])
    left_out = max(0, first.size - 2 * PIECE_BYTES)
    return Excerpt(left_out_bytes=left_out, head=head, tail=tail, file_bytes=first.size)


def usage(steps: Iterable[Step]) -> dict[str, JsonValue]:
    """Tokens of these steps by kind; empty where none says."""
    total = sum((s.usage for s in steps if s.usage), Usage())
    return {name: count for name, count in total.model_dump().items() if count}


def _steps(lines: Iterable[bytes]) -> tuple[Step, ...]:
    found = []
    for line in lines:
        try:
            found.append(_shown(Step.model_validate_json(line)))
        except (ValidationError, RecursionError):
            continue
    return tuple(found)


def _shown(step: Step) -> Step:
    """The step with its texts cut and redacted; a tool's arguments become lines of text values."""
    given = {} if step.input is None else {name: _flat(value) for name, value in list(step.input.items())[:20]}
    text, cut = _cut(step.text)
    return step.model_copy(
        update={"text": text, "cut_characters": step.cut_characters + cut, "input": given or None, "call_id": None}
    )


def _flat(value: JsonValue) -> str:
    import orjson

    return _cut(value if isinstance(value, str) else orjson.dumps(value).decode())[0]


def _cut(text: str) -> tuple[str, int]:
    # Redacted before it is cut, with some room: half a key has no shape.
    safe = reading.text(redacted(text[: 2 * CHARACTERS]).encode("utf-8", "replace"))
    return safe[:CHARACTERS], max(0, len(text) - CHARACTERS)
