"""Two model families, by their official SDKs."""

import os
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from inferencebench.errors import MissingError
from inferencebench.gates.judge.schema import SCHEMA

MAX_TOKENS = 8192
TIMEOUT_S = 180.0
RETRIES = 4
"""Of rate limits, overloads and lost connections, with the SDK's own back-off."""
TOOL = "give_opinion"
BROKEN = (ValueError, TypeError, AttributeError, LookupError)
"""What the SDKs let through when a gateway answers with something that is not the API's."""


class Reply(NamedTuple):
    """What a provider answered. `answer` is empty for a refusal or an answer that was cut."""

    answer: str | dict[str, Any]
    error: str | None
    request_id: str
    input_tokens: int
    output_tokens: int


class Provider(Protocol):
    """One judge."""

    @property
    def name(self) -> str:
        """`family:model`."""

    def ask(self, brief: str, document: str) -> Reply:
        """The structured answer, or why there is none. Raises nothing that a provider may cause."""


@dataclass(frozen=True)
class AnthropicJudge:
    """A Claude model; `key_env` and `base_url` as the SDK has them."""

    model: str = "claude-sonnet-4-6"
    key_env: str = "ANTHROPIC_API_KEY"
    base_url: str | None = None

    @property
    def name(self) -> str:
        """`anthropic:MODEL`."""
        return f"anthropic:{self.model}"

    def ask(self, brief: str, document: str) -> Reply:
        """By a tool whose input is the opinion."""
        try:
            import anthropic
        except ImportError:
            raise MissingError("anthropic is not installed: pip install 'inferencebench[judges]'") from None
        client = anthropic.Anthropic(
            api_key=os.environ.get(self.key_env), base_url=self.base_url, timeout=TIMEOUT_S, max_retries=RETRIES
        )
        tool: Any = {"name": TOOL, "description": "The opinion on every label.", "input_schema": SCHEMA}
        try:
            message = client.messages.create(
                model=self.model,
                max_tokens=MAX_TOKENS,
                system=brief,
                messages=[{"role": "user", "content": document}],
                tools=[tool],
                tool_choice={"type": "tool", "name": TOOL},
            )
        except (anthropic.AnthropicError, *BROKEN) as error:
            return Reply("", _short(error), "", 0, 0)
        used = (message.id, message.usage.input_tokens, message.usage.output_tokens)
        if message.stop_reason == "max_tokens":
            return Reply("", "the answer was cut at its length limit", *used)
        for block in message.content:
            if block.type == "tool_use" and isinstance(block.input, dict):
                return Reply(dict(block.input), None, *used)
        return Reply("", f"no opinion (stopped by {message.stop_reason})", *used)


@dataclass(frozen=True)
class OpenAIJudge:
    """A model behind OpenAI's chat completions; `key_env` and `base_url` as the SDK has them."""

    model: str = "gpt-5.4"
    key_env: str = "OPENAI_API_KEY"
    base_url: str | None = None

    @property
    def name(self) -> str:
        """`openai:MODEL`."""
        return f"openai:{self.model}"

    def ask(self, brief: str, document: str) -> Reply:
        """By a JSON schema that the answer must follow."""
        try:
            import openai
        except ImportError:
            raise MissingError("openai is not installed: pip install 'inferencebench[judges]'") from None
        client = openai.OpenAI(
            api_key=os.environ.get(self.key_env), base_url=self.base_url, timeout=TIMEOUT_S, max_retries=RETRIES
        )
        form: Any = {"type": "json_schema", "json_schema": {"name": TOOL, "schema": SCHEMA, "strict": True}}
        try:
            done = client.chat.completions.create(
                model=self.model,
                max_completion_tokens=MAX_TOKENS,
                messages=[{"role": "system", "content": brief}, {"role": "user", "content": document}],
                response_format=form,
            )
        except (openai.OpenAIError, *BROKEN) as error:
            return Reply("", _short(error), "", 0, 0)
        usage = done.usage
        used = (done.id, usage.prompt_tokens if usage else 0, usage.completion_tokens if usage else 0)
        if not done.choices:
            return Reply("", "no choice in the answer", *used)
        choice = done.choices[0]
        if choice.finish_reason == "length":
            return Reply("", "the answer was cut at its length limit", *used)
        if choice.message.refusal or not choice.message.content:
            return Reply("", "the model refused", *used)
        return Reply(choice.message.content, None, *used)


FAMILIES: tuple[type[AnthropicJudge] | type[OpenAIJudge], ...] = (AnthropicJudge, OpenAIJudge)


def available() -> list[Provider]:
    """A judge of each family whose key is set; `$ANTHROPIC_BASE_URL` and `$OPENAI_BASE_URL` count."""
    found: list[Provider] = []
    for family in FAMILIES:
        judge = family()
        if os.environ.get(judge.key_env, "").strip():
            found.append(judge)
    return found


def _short(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    kind = f"HTTP {status}" if status else type(error).__name__
    return f"{kind}: {str(error).splitlines()[0][:200] if str(error) else 'no message'}"
