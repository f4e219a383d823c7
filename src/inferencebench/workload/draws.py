"""Keyed randomness: every draw of the workload follows from (seed, salt), and none can be foretold without the salt.

A stream is HMAC-SHA256 in counter mode. It needs no guarantee about `random.Random` across Python versions, and
the dev stream, which an agent sees, says nothing of the eval stream.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import TypeVar

from inferencebench.errors import UserError

T = TypeVar("T")

MIN_SALT_BYTES = 16


def digest(salt: bytes, *parts: object) -> bytes:
    """HMAC-SHA256 of the parts, joined by `|`, under the campaign's salt; 32 bytes.

    Raises `UserError` for a salt too short to keep a secret."""
    if len(salt) < MIN_SALT_BYTES:
        raise UserError(f"salt: {len(salt)} bytes; a campaign's salt is 32 random bytes, at least {MIN_SALT_BYTES}")
    return hmac.new(salt, "|".join(map(str, parts)).encode(), hashlib.sha256).digest()


class Draws:
    """A deterministic stream of uniform draws named by `parts` under `salt`."""

    def __init__(self, salt: bytes, *parts: object) -> None:
        self._key = digest(salt, *parts)
        self._counter = 0

    def _word(self) -> int:
        """The next 64 bits."""
        block = hmac.new(self._key, self._counter.to_bytes(8, "big"), hashlib.sha256).digest()
        self._counter += 1
        return int.from_bytes(block[:8], "big")

    def integer(self, low: int, high: int) -> int:
        """A uniform integer in [low, high], both included."""
        width = high - low + 1
        # Words in the last, incomplete multiple of `width` would favour small values: draw again.
        limit = (1 << 64) - (1 << 64) % width
        while (word := self._word()) >= limit:
            pass
        return low + word % width

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in a uniformly random order (Fisher-Yates)."""
        result = list(items)
        for i in range(len(result) - 1, 0, -1):
            j = self.integer(0, i)
            result[i], result[j] = result[j], result[i]
        return result


def split_halves(items: Sequence[T], salt: bytes, purpose: str, name: Callable[[T], str]) -> tuple[list[T], list[T]]:
    """Two disjoint halves (the first larger by at most one), the same for every seed of a campaign.

    The split is by rank of the salted hash of `name(item)`, so the halves' sizes do not vary with the salt."""
    ranked = sorted(items, key=lambda item: digest(salt, purpose, name(item)))
    return ranked[0::2], ranked[1::2]
