"""Model providers as data: where their API is, which calls an agent may make, how a key goes in, how usage is read."""

import json
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from inferencebench.agents.usage import Usage
from inferencebench.errors import MissingError, UserError

PLACEHOLDER = "sk-ant-placeholder-the-real-key-is-outside"
"""What an agent sees as its key. The proxy takes it off and puts the real one in its place."""


class CredentialKind(StrEnum):
    """How a session is paid for. Whatever it is, it stays at the proxy and is never inside."""

    API_KEY = "api_key"
    OAUTH_TOKEN = "oauth_token"
    """A Claude subscription's token."""
    AUTH_FILE = "auth_file"
    """A ChatGPT subscription: the `auth.json` that `codex login` wrote, read anew for every request."""


class Credential(NamedTuple):
    """A key, or where to find one."""

    kind: CredentialKind
    secret: str
    """The key itself; a path for AUTH_FILE."""

    def headers(self, provider: "Provider") -> dict[str, str]:
        """The headers that carry it. MissingError when the auth file cannot be read."""
        if self.kind is CredentialKind.API_KEY:
            return {provider.key_header: f"{provider.key_prefix}{self.secret}"}
        if self.kind is CredentialKind.OAUTH_TOKEN:
            return {"authorization": f"Bearer {self.secret}"}
        tokens = _auth_file(Path(self.secret))
        return {"authorization": f"Bearer {tokens['access_token']}", "chatgpt-account-id": tokens["account_id"]}

    def secrets(self) -> tuple[str, ...]:
        """Every string that must not be seen inside."""
        if self.kind is CredentialKind.AUTH_FILE:
            return tuple(_auth_file(Path(self.secret)).values())
        return (self.secret,)

    @property
    def plain(self) -> bool:
        """Whether it is a key of the provider's ordinary API."""
        return self.kind is CredentialKind.API_KEY


def _auth_file(path: Path) -> dict[str, str]:
    try:
        tokens = json.loads(path.read_bytes())["tokens"]
        return {name: str(tokens[name]) for name in ("access_token", "account_id", "refresh_token", "id_token")}
    except (OSError, ValueError, LookupError, TypeError):
        raise MissingError(f"{path}: no login of a ChatGPT subscription there; run `codex login`") from None


class Provider(NamedTuple):
    """One provider's API."""

    name: str
    key_env: str
    base_env: str
    base_url: str
    """Where requests go; `base_env` overrides it."""
    prefix: str
    """Path before every allowed path, inside and upstream, which `base_url` includes where the provider's own
    clients write it so (`/v1` of OpenAI)."""
    allowed: re.Pattern[str]
    """`METHOD /path`, without the prefix: everything else is refused."""
    generates: re.Pattern[str]
    """Those of the allowed that cost tokens."""
    key_header: str
    key_prefix: str = ""
    counts_in_parts: bool = False
    """Whether a stream tells input and output in events of their own; else each event with counts replaces the last."""
    token_env: str | None = None
    """Environment variable of a subscription's token."""
    auth_file_env: str | None = None
    """Environment variable that names a subscription's login file."""
    auth_file_url: str = ""
    """Where requests of such a login go."""

    def credential(self, environment: Mapping[str, str] = os.environ) -> Credential:
        """The key or login that the environment has; MissingError, naming the variables, when it has none."""
        if key := environment.get(self.key_env, "").strip():
            return Credential(CredentialKind.API_KEY, key)
        if self.token_env and (token := environment.get(self.token_env, "").strip()):
            return Credential(CredentialKind.OAUTH_TOKEN, token)
        if self.auth_file_env and (path := environment.get(self.auth_file_env, "").strip()):
            credential = Credential(CredentialKind.AUTH_FILE, path)
            credential.secrets()
            return credential
        others = [name for name in (self.token_env, self.auth_file_env) if name]
        choice = "".join(f" (or {name}, for a subscription)" for name in others)
        raise MissingError(f"no key of {self.name}: set {self.key_env}{choice} in the environment")

    def upstream(self, credential: Credential, environment: Mapping[str, str] = os.environ) -> str:
        """Base URL of the provider, without a slash at its end. UserError when it is no http(s) URL."""
        default = self.auth_file_url if credential.kind is CredentialKind.AUTH_FILE else self.base_url
        url = (environment.get(self.base_env, "").strip() or default).rstrip("/")
        if not re.match(r"https?://[^/\s]+", url):
            raise UserError(f"{self.base_env}={url}: write a whole URL, such as {self.base_url}")
        return url

    def usage(self, document: Any) -> Usage | None:
        """Tokens of a whole reply, or of one event of a streamed one; None where it says nothing of them."""
        return READERS[self.name](document)


def _numbers(document: Any, *names: str) -> list[int]:
    """Counts by name, 0 where absent or not a count: replies are not trusted."""
    found = [document.get(name) if isinstance(document, dict) else None for name in names]
    return [value if type(value) is int and 0 <= value < 1 << 40 else 0 for value in found]


def _dict(document: Any, *names: str) -> dict[str, Any] | None:
    """The first of the named members that is an object."""
    for name in names:
        value = document.get(name) if isinstance(document, dict) else None
        if isinstance(value, dict):
            return value
    return None


def anthropic_usage(document: Any) -> Usage | None:
    """Messages: `message_start` has the input, `message_delta` the output so far; a whole reply has both.

    https://docs.anthropic.com/en/api/messages-streaming"""
    holder = _dict(document, "message") or document
    found = _dict(holder, "usage")
    if found is None:
        return None
    fresh, read, write, output = _numbers(
        found, "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"
    )
    return Usage(input_tokens=fresh, cached_input_tokens=read, cache_write_tokens=write, output_tokens=output)


def openai_usage(document: Any) -> Usage | None:
    """Responses (`input_tokens`) and Chat Completions (`prompt_tokens`); both count tokens read from and written to the
    cache as input."""
    found = _dict(_dict(document, "response") or document, "usage")
    if found is None:
        return None
    inputs, prompts, outputs, completions = _numbers(
        found, "input_tokens", "prompt_tokens", "output_tokens", "completion_tokens"
    )
    details = _dict(found, "input_tokens_details", "prompt_tokens_details")
    cached, written = _numbers(details, "cached_tokens", "cache_write_tokens")
    (reasoning,) = _numbers(_dict(found, "output_tokens_details", "completion_tokens_details"), "reasoning_tokens")
    total = inputs or prompts
    cached = min(cached, total)
    written = min(written, total - cached)
    return Usage(
        input_tokens=total - cached - written,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=outputs or completions,
        reasoning_tokens=reasoning,
    )


def gemini_usage(document: Any) -> Usage | None:
    """`usageMetadata`, cumulative over a stream; thoughts are billed as output, tool prompts as input.

    https://ai.google.dev/api/generate-content#UsageMetadata"""
    if isinstance(document, list):
        reads = [usage for item in document if (usage := gemini_usage(item))]
        return reads[-1] if reads else None
    found = _dict(_dict(document, "response") or document, "usageMetadata")
    if found is None:
        return None
    prompt, cached, output, thoughts, tools = _numbers(
        found,
        "promptTokenCount",
        "cachedContentTokenCount",
        "candidatesTokenCount",
        "thoughtsTokenCount",
        "toolUsePromptTokenCount",
    )
    return Usage(
        input_tokens=max(0, prompt - cached) + tools,
        cached_input_tokens=min(cached, prompt),
        output_tokens=output + thoughts,
        reasoning_tokens=thoughts,
    )


READERS = {"anthropic": anthropic_usage, "openai": openai_usage, "gemini": gemini_usage}

ANTHROPIC = Provider(
    name="anthropic",
    key_env="ANTHROPIC_API_KEY",
    base_env="ANTHROPIC_BASE_URL",
    base_url="https://api.anthropic.com",
    prefix="",
    allowed=re.compile(r"POST /v1/messages(/count_tokens)?|GET /v1/models(/[\w.:-]+)?"),
    generates=re.compile(r"POST /v1/messages"),
    key_header="x-api-key",
    counts_in_parts=True,
    token_env="CLAUDE_CODE_OAUTH_TOKEN",
)
OPENAI = Provider(
    name="openai",
    key_env="OPENAI_API_KEY",
    base_env="OPENAI_BASE_URL",
    base_url="https://api.openai.com/v1",
    prefix="/v1",
    allowed=re.compile(r"POST /(responses|responses/compact|chat/completions)|GET /models(/[\w.:/-]+)?"),
    generates=re.compile(r"POST /(responses|responses/compact|chat/completions)"),
    key_header="authorization",
    key_prefix="Bearer ",
    auth_file_env="CODEX_AUTH_FILE",
    auth_file_url="https://chatgpt.com/backend-api/codex",
)
GEMINI = Provider(
    name="gemini",
    key_env="GEMINI_API_KEY",
    base_env="GOOGLE_GEMINI_BASE_URL",
    base_url="https://generativelanguage.googleapis.com",
    prefix="",
    allowed=re.compile(
        r"POST /v1(beta|alpha)?/models/[\w.-]+:(generateContent|streamGenerateContent|countTokens)"
        r"|GET /v1(beta|alpha)?/models(/[\w.-]+)?"
    ),
    generates=re.compile(r"POST /v1(beta|alpha)?/models/[\w.-]+:(generateContent|streamGenerateContent)"),
    key_header="x-goog-api-key",
)
