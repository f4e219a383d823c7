"""The steps of an agent's work, the same for every CLI: what `solve/trajectory.jsonl` holds, a row a step."""

from enum import StrEnum

from pydantic import JsonValue

from inferencebench.agents.usage import Usage
from inferencebench.suites.model import Record


class StepKind(StrEnum):
    """What a step is."""

    PROMPT = "prompt"
    """What the harness told the agent: the task, or a resume message."""
    MESSAGE = "message"
    REASONING = "reasoning"
    TOOL = "tool"
    """A call of a tool; its result is the RESULT step of the same `call_id`."""
    RESULT = "result"
    ERROR = "error"
    """What the CLI or its provider complained about."""
    END = "end"
    """The terminal event of one invocation of the CLI."""


class Step(Record):
    """One step of a trajectory."""

    at_s: float | None = None
    """Seconds since the start of the session when the harness read it; None where unknown."""
    invocation: int = 0
    """Which start of the CLI it belongs to: 0 is the first, each resume adds one."""
    kind: StepKind
    text: str = ""
    """Message, reasoning, a tool's output or an error; may be cut, see `cut_characters`."""
    tool: str | None = None
    """The tool's name as the CLI has it."""
    call_id: str | None = None
    input: dict[str, JsonValue] | None = None
    """Arguments of a tool call."""
    ok: bool | None = None
    """Of a RESULT or END: whether it succeeded, where the CLI says so."""
    usage: Usage | None = None
    """Of this step alone, never cumulative."""
    cut_characters: int = 0
    """How many characters of `text` were left out."""
