"""What must be known of a command-line agent to run it: data, and a small parser of its events."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

from inferencebench.agents.install import Package
from inferencebench.agents.providers import CredentialKind, Provider
from inferencebench.agents.trajectory import Step, StepKind

MAX_TEXT = 20_000
"""Characters of a step's text that are kept."""


class Setup(NamedTuple):
    """What an adapter's functions are given."""

    model: str
    effort: str | None
    base_url: str
    """Of the proxy inside, without the provider's prefix."""
    placeholder: str
    session_id: str
    """A UUID that the harness chose."""
    credential: CredentialKind
    prompt_file: str
    """Inside path of a file with the prompt, for programs that read it from stdin."""


class ExitKind(StrEnum):
    """How one invocation of a CLI ended."""

    FINISHED = "finished"
    """Exit code 0 and a terminal event without an error."""
    AUTH = "auth"
    RATE_LIMIT = "rate_limit"
    OVERLOAD = "overload"
    REFUSED = "refused"
    """The provider takes the key but not the request."""
    CRASH = "crash"
    LIMIT = "limit"
    DEADLINE = "deadline"


Parse = Callable[[dict[str, Any]], list[Step]]


class Adapter(NamedTuple):
    """One command-line agent."""

    package: Package
    providers: dict[str, Provider]
    """By the prefix of a model's name, `anthropic/…`; the empty prefix is the one for bare names."""
    environment: Callable[[Setup], dict[str, str]]
    files: Callable[[Setup], dict[str, str]]
    """Path under HOME → content; written before the first start only."""
    start: Callable[[Setup, str], list[str]]
    """Command for the first prompt; its program is `package.program`."""
    resume: Callable[[Setup, str], list[str]]
    """Command that continues the same conversation."""
    parser: Callable[[], Parse]
    """Makes the parser of one invocation: from an event of its stdout to the steps in it. It may raise LookupError,
    TypeError, ValueError or AttributeError on events it does not know: they are left out."""

    def provider(self, model: str) -> tuple[Provider, str]:
        """The provider of a model's full name, and the name it has there."""
        prefix, slash, rest = model.partition("/")
        if slash and prefix in self.providers:
            return self.providers[prefix], rest
        return self.providers[""], model


def step(kind: StepKind, text: object = "", **fields: Any) -> Step:
    """A step whose text is made a string and cut to MAX_TEXT characters."""
    whole = text if isinstance(text, str) else "" if text is None else repr(text)
    return Step(kind=kind, text=whole[:MAX_TEXT], cut_characters=max(0, len(whole) - MAX_TEXT), **fields)


def from_stdin(prompt_file: str, argv: list[str]) -> list[str]:
    """The command with the prompt on its stdin."""
    return ["/bin/sh", "-c", 'file=$1; shift; exec "$@" < "$file"', "sh", prompt_file, *argv]
