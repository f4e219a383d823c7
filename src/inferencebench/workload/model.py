"""What the workload stage hands on: request sets and question sets."""

from pathlib import Path
from typing import Literal, NamedTuple

from inferencebench.suites.model import Record


class Message(Record):
    """One chat message."""

    role: str
    content: str


class SpeedRequest(Record):
    """One timed request. `prompt_tokens` is exact under the model's tokenizer, chat template and nonce included."""

    id: str
    """`<profile>/<number>`, e.g. `burst/0007`; warm-up requests are `warmup/0000`."""
    profile: str
    messages: tuple[Message, ...]
    prompt_tokens: int
    max_tokens: int
    """Forced output length in tokens."""
    temperature: float
    seed: int
    """Sampling seed sent to the server."""
    offset_s: float
    """Scheduled arrival after the start of the profile; 0 for burst."""
    probe: Literal["", "repeat", "short", "canary"] = ""
    """`repeat`: the document of request `of` again, under a nonce of its own; timed like any other. `short`: a prompt
    like the others with a fraction of their output, which no metric counts; `canary`: such a one that asks for a code
    in its document."""
    of: str = ""
    """Id of the request that a `repeat` repeats, or whose document a `canary` has with another code."""

    @property
    def counted(self) -> bool:
        """Whether it is timed and enters the metrics."""
        return self.probe in ("", "repeat")


class Question(Record):
    """One quality question, with its gold answer: never leaves the harness."""

    id: str
    messages: tuple[Message, ...]
    gold: str
    """`A`..`J` for multiple choice, the expected text for a short answer."""
    aliases: tuple[str, ...] = ()
    choices: int = 0
    """Number of options; 0 for a short answer."""
    category: str = ""


class RequestSet(NamedTuple):
    """A request set in a file: canonical JSON lines, named by their content."""

    path: Path
    sha256: str
    requests: tuple[SpeedRequest, ...]


class QuestionSet(NamedTuple):
    """A question set in a file: canonical JSON lines, named by their content."""

    path: Path
    sha256: str
    questions: tuple[Question, ...]
