"""What an agent's model calls used, by kind of token. Kinds are disjoint: each token is counted in one field."""

from typing import Self

from inferencebench.suites.model import Record


class Usage(Record):
    """Tokens and requests of a session or of one step; adds up with `+`."""

    input_tokens: int = 0
    """Prompt tokens that were neither read from nor written to a cache."""
    cached_input_tokens: int = 0
    """Prompt tokens read from the provider's cache."""
    cache_write_tokens: int = 0
    """Prompt tokens written to the provider's cache, where it bills them apart."""
    output_tokens: int = 0
    """Generated tokens, reasoning included."""
    reasoning_tokens: int = 0
    """Those of `output_tokens` that were reasoning, where the provider says so."""
    requests: int = 0
    """Calls of the model, failed ones included."""

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt, cached or not."""
        return self.input_tokens + self.cached_input_tokens + self.cache_write_tokens

    def __add__(self, other: Self) -> Self:
        sums = {name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields}
        return type(self)(**sums)


class ModelUsage(Record):
    """What a session used of one model, as metered by the proxy."""

    model: str
    usage: Usage
    unmetered: int = 0
    """Answered calls whose reply said nothing of its tokens (a cut stream, for example)."""
    usd: float | None = 0.0
    """At list prices; None where the model's price is not known."""
