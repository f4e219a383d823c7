"""Reading the usage of model calls from the bytes of their replies, and adding it up over a session."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inferencebench.agents.providers import Provider
from inferencebench.agents.usage import Usage
from inferencebench.files import canonical_json, read_jsonl
from inferencebench.suites.model import Record

MAX_EVENT_BYTES = 32 << 20
"""Of one streamed event or one whole reply that is still read for its usage."""

PriceOf = Callable[[str, Usage], float | None]
"""US dollars of a usage of a model; None where the price is not known."""


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


class ModelUsage(Record):
    """What a session used of one model, as metered by the proxy."""

    model: str
    usage: Usage
    unmetered: int = 0
    """Answered calls whose reply said nothing of its tokens (a cut stream, for example)."""


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

    def __init__(self, path: Path, limits: Limits, price: PriceOf) -> None:
        """Goes on from the calls that `path` already holds."""
        self._path, self._limits, self._price = path, limits, price
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        for row in read_jsonl(path) if path.exists() else []:
            try:
                self._calls.append(Call.model_validate(row))
            except ValidationError:
                continue

    def add(self, call: Call) -> None:
        """Record a call that has ended."""
        with self._lock:
            self._calls.append(call)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(canonical_json(call) + b"\n")

    def calls(self, invocation: int | None = None) -> list[Call]:
        """The calls of one start of the CLI, or all, in the order in which they ended."""
        with self._lock:
            return [call for call in self._calls if invocation is None or call.invocation == invocation]

    def by_model(self) -> tuple[ModelUsage, ...]:
        """Sums per model."""
        found: dict[str, ModelUsage] = {}
        for call in self.calls():
            if call.generates and call.refused is None:
                row = found.get(call.model) or ModelUsage(model=call.model, usage=Usage())
                usage = row.usage + (call.usage or Usage()) + Usage(requests=1)
                unmetered = row.unmetered + (call.succeeded and call.usage is None)
                found[call.model] = ModelUsage(model=call.model, usage=usage, unmetered=unmetered)
        return tuple(found[model] for model in sorted(found))

    def exhausted(self) -> str | None:
        """Which limit is reached, as a sentence; None while none is."""
        limits, rows = self._limits, self.by_model()
        if limits.turns is not None and sum(call.succeeded for call in self.calls()) >= limits.turns:
            return f"the run's limit of {limits.turns} turns is reached"
        tokens = sum(
            r.usage.input_tokens + r.usage.cached_input_tokens + r.usage.cache_write_tokens + r.usage.output_tokens
            for r in rows
        )
        if limits.tokens is not None and tokens >= limits.tokens:
            return f"the run's limit of {limits.tokens} tokens is reached"
        if limits.usd is not None:
            prices = [self._price(row.model, row.usage) for row in rows]
            if None in prices:
                return "the run has a limit in dollars, and the price of its model is not known"
            if sum(price for price in prices if price is not None) >= limits.usd:
                return f"the run's limit of {limits.usd:g} US dollars is reached"
        return None
