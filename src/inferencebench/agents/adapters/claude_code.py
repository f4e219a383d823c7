"""Claude Code: `claude -p --output-format stream-json`."""

from typing import Any

from inferencebench.agents.adapters.contract import Adapter, Setup, step
from inferencebench.agents.install import package
from inferencebench.agents.providers import ANTHROPIC, CredentialKind
from inferencebench.agents.trajectory import Step, StepKind
from inferencebench.agents.usage import Usage


def _environment(setup: Setup) -> dict[str, str]:
    key = "ANTHROPIC_API_KEY" if setup.credential is CredentialKind.API_KEY else "CLAUDE_CODE_OAUTH_TOKEN"
    effort = {"CLAUDE_CODE_EFFORT_LEVEL": setup.effort} if setup.effort else {}
    return {
        **effort,
        "IS_SANDBOX": "1",
        "ANTHROPIC_BASE_URL": setup.base_url,
        key: setup.placeholder,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "BASH_DEFAULT_TIMEOUT_MS": "600000",
        "BASH_MAX_TIMEOUT_MS": "3600000",
    }


def _command(setup: Setup, identity: str, prompt: str) -> list[str]:
    flags = ["-p", "--verbose", "--output-format", "stream-json", "--dangerously-skip-permissions"]
    return ["claude", *flags, "--model", setup.model, identity, setup.session_id, prompt]


class _Parser:
    """Steps of one invocation. Each block of a message is an event of its own that repeats the message's usage, which
    is counted once."""

    def __init__(self) -> None:
        self._counted: str | None = None

    def __call__(self, event: dict[str, Any]) -> list[Step]:
        kind = event["type"]
        if kind == "result":
            return [step(StepKind.END, event.get("result"), ok=not event["is_error"])]
        if kind == "system" and event.get("subtype") == "api_retry":
            return [step(StepKind.ERROR, event)]
        if kind not in ("assistant", "user"):
            return []
        message = event["message"]
        content = message["content"]
        steps = [found for block in (content if isinstance(content, list) else []) for found in _block(block)]
        fresh = message.get("id") is None or message["id"] != self._counted
        if kind == "assistant" and steps and fresh and isinstance(used := message.get("usage"), dict):
            self._counted = message.get("id")
            steps[-1] = steps[-1].model_copy(update={"usage": _usage(used)})
        return steps


def _usage(used: dict[str, Any]) -> Usage:
    return Usage(
        input_tokens=used.get("input_tokens") or 0,
        cached_input_tokens=used.get("cache_read_input_tokens") or 0,
        cache_write_tokens=used.get("cache_creation_input_tokens") or 0,
        output_tokens=used.get("output_tokens") or 0,
    )


def _block(block: dict[str, Any]) -> list[Step]:
    match block["type"]:
        case "text":
            return [step(StepKind.MESSAGE, block["text"])]
        case "thinking":
            return [step(StepKind.REASONING, block["thinking"])]
        case "tool_use":
            return [step(StepKind.TOOL, tool=block["name"], call_id=block["id"], input=block["input"])]
        case "tool_result":
            content = block.get("content")
            if isinstance(content, list):
                content = "\n".join(part.get("text", "") for part in content)
            return [step(StepKind.RESULT, content, call_id=block["tool_use_id"], ok=not block.get("is_error", False))]
    return []


ADAPTER = Adapter(
    package=package("claude-code"),
    providers={"": ANTHROPIC},
    environment=_environment,
    files=lambda setup: {},
    start=lambda setup, prompt: _command(setup, "--session-id", prompt),
    resume=lambda setup, prompt: _command(setup, "--resume", prompt),
    parser=_Parser,
)
