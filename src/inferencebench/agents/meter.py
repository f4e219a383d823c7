"""Reading the usage of model calls from the bytes of their replies, and adding it up over a session."""

import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inferencebench.agents.prices import PriceTable
from inferencebench.agents.providers import CredentialKind, Provider
from inferencebench.agents.usage import ModelUsage, Usage
from inferencebench.files import canonical_json, read_jsonl
from inferencebench.suites.model import Record

MAX_EVENT_BYTES = 32 << 20
"""Of one streamed event or one whole reply that is still read for its usage."""


class Call(Record):
    """One request of the agent's to its provider: a line of `requests.jsonl`. It never holds a key or a text."""

    at_s: float
    """Seconds since the start of the session."""
    seconds: float
    invocation: int
    method: str
    path: str
    model: str
    status: int
    """Of the provider's reply; 0 when it gave none; 403 and 429 with `refused` are the proxy's own."""
    refused: str | None = None
    """Why the proxy did not let it through."""
    error: str | None = None
    """What broke the connection or the stream."""
    generates: bool
    """Whether it is a call that costs tokens."""
    usage: Usage | None = None
    """None: the reply said nothing of its tokens."""

    @property
    def succeeded(self) -> bool:
        """Whether the model answered."""
        return self.generates and self.status == 200 and self.refused is None

    @property
    def billed(self) -> bool:
        """Whether it went to the provider and is one that costs tokens."""
        return self.generates and self.refused is None


class SessionUsage(Record):
    """`usage.json`: what a session used, as the proxy metered it, and how its calls were paid for."""

    credential: CredentialKind
    models: tuple[ModelUsage, ...]


class Limits(Record):
    """Bounds of a session beside its clock; None: unbounded."""

    tokens: int | None = None
    """Input, cached or not, and output together."""
    usd: float | None = None
    turns: int | None = None
    """Answered calls of a model."""


class ReplyMeter:
    """Finds the usage in one reply, fed as it streams by. Never raises: what it cannot read, it leaves out."""

    def __init__(self, provider: Provider, streamed: bool) -> None:
        self._provider, self._streamed = provider, streamed
        self._buffer = b""
        self._overflow = False
        self.usage: Usage | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._buffer += data
        if self._streamed:
            *lines, self._buffer = self._buffer.split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    self._read(line[5:])
        if len(self._buffer) > MAX_EVENT_BYTES:
            self._buffer, self._overflow = b"", True

    def end(self) -> Usage | None:
        """The reply is over: its usage, as far as it was told."""
        if not self._overflow:
            self._read(self._buffer.removeprefix(b"data:"))
        self._buffer = b""
        return self.usage

    def _read(self, data: bytes) -> None:
        try:
            document: Any = json.loads(data)
            found = self._provider.usage(document)
        except (ValueError, RecursionError):
            return
        if found is not None:
            # Later events repeat or complete the counts of earlier ones; none is a difference.
            before = self.usage if self.usage and self._provider.counts_in_parts else Usage()
            self.usage = Usage(**{n: max(getattr(before, n), getattr(found, n)) for n in Usage.model_fields})


class Meter:
    """The session's calls: appended to a file as they end, added up, and held against the limits."""

    def __init__(self, path: Path, limits: Limits, prices: PriceTable) -> None:
        """Goes on from the calls that `path` already holds."""
        self._path, self._limits, self._prices = path, limits, prices
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._turns = self._tokens = 0
        self._usd = 0.0
        self._unpriced = ""
        for call in stored_calls(path):
            self._count(call)

    def add(self, call: Call) -> None:
        """Record a call that has ended."""
        with self._lock:
            self._count(call)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(canonical_json(call) + b"\n")

    def _count(self, call: Call) -> None:
        self._calls.append(call)
        if not call.billed:
            return
        self._turns += call.succeeded
        usage = call.usage or Usage()
        self._tokens += usage.prompt_tokens + usage.output_tokens
        usd = self._prices.usd(call.model, usage)
        if usd is None:
            self._unpriced = call.model
        self._usd += usd or 0.0

    def calls(self, invocation: int | None = None) -> list[Call]:
        """The calls of one start of the CLI, or all, in the order in which they ended."""
        with self._lock:
            return [call for call in self._calls if invocation is None or call.invocation == invocation]

    def exhausted(self) -> str | None:
        """Which limit is reached, as a sentence; None while none is."""
        limits = self._limits
        with self._lock:
            if limits.turns is not None and self._turns >= limits.turns:
                return f"the run's limit of {limits.turns} turns is reached"
            if limits.tokens is not None and self._tokens >= limits.tokens:
                return f"the run's limit of {limits.tokens} tokens is reached"
            if limits.usd is not None and self._unpriced:
                return f"the run has a limit in dollars, and the price of {self._unpriced[:60]} is not known"
            if limits.usd is not None and self._usd >= limits.usd:
                return f"the run's limit of {limits.usd:g} US dollars is reached"
        return None


def stored_calls(path: Path) -> list[Call]:
    """The readable calls of a `requests.jsonl`; none where there is no such file."""
    found = []
    for row in read_jsonl(path) if path.exists() else []:
        try:
            found.append(Call.model_validate(row))
        except ValidationError:
            continue
    return found


def by_model(calls: Iterable[Call], prices: PriceTable) -> tuple[ModelUsage, ...]:
    """Sums per model over the calls that went to the provider."""
    found: dict[str, ModelUsage] = {}
    for call in calls:
        if not call.billed:
            continue
        row = found.get(call.model) or ModelUsage(model=call.model, usage=Usage())
        usage = call.usage or Usage()
        usd = prices.usd(call.model, usage)
        found[call.model] = ModelUsage(
            model=call.model,
            usage=row.usage + usage + Usage(requests=1),
            unmetered=row.unmetered + (call.succeeded and call.usage is None),
            usd=None if usd is None or row.usd is None else row.usd + usd,
        )
    return tuple(found[model] for model in sorted(found))
