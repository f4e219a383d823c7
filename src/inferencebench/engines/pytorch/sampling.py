"""Sampling with a request's own random stream.

`generate` draws from torch's global generator, which concurrent requests would share: an answer would depend on its
neighbours. So the draw happens here, as the last logits processor, and `generate` greedily takes what was drawn.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sampling:
    """What a request asks of the generation."""

    max_tokens: int
    temperature: float
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False

    @property
    def greedy(self) -> bool:
        """Temperature 0, or so near that the division would overflow."""
        return self.temperature < 1e-5


class SeededDraw:
    """A logits processor that draws one token by temperature and top-p and leaves only that one possible."""

    def __init__(self, sampling: Sampling, device: str) -> None:
        import torch

        self._temperature = sampling.temperature
        self._top_p = sampling.top_p
        self._generator = torch.Generator(device=device)
        if sampling.seed is None:
            self._generator.seed()
        else:
            # Other servers accept any integer, torch only 64 bits.
            self._generator.manual_seed(sampling.seed % 2**63)

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """`scores`: [1, vocab] logits. Returns the same shape, -inf everywhere but at the drawn token."""
        import torch

        probabilities = torch.softmax(scores.float() / self._temperature, dim=-1)
        if self._top_p < 1.0:
            ordered, order = probabilities.sort(dim=-1, descending=True)
            # A token stays while those before it hold less than top_p: the smallest set that reaches it.
            ordered = ordered.masked_fill(ordered.cumsum(dim=-1) - ordered >= self._top_p, 0.0)
            probabilities = torch.zeros_like(probabilities).scatter(-1, order, ordered)
        drawn = torch.multinomial(probabilities, 1, generator=self._generator)
        return torch.full_like(scores, float("-inf")).scatter(-1, drawn, 0.0)
