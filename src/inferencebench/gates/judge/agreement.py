"""How far judges agree with each other, and how often they are right on the zoo."""

import random
from collections.abc import Sequence
from typing import NamedTuple

from inferencebench.gates.quality import Interval

BOOTSTRAPS = 2000


class Kappa(NamedTuple):
    """Cohen's kappa with a bootstrap interval of 95 %."""

    value: float
    interval: Interval
    runs: int


def kappa(first: Sequence[bool], second: Sequence[bool]) -> Kappa | None:
    """Cohen's kappa (1960): (agreement - chance) / (1 - chance) over paired verdicts. None without pairs.

    Two judges that always say the same thing agree fully, though chance would too: 1."""
    pairs = list(zip(first, second, strict=True))
    if not pairs:
        return None
    source = random.Random(0)
    values = sorted(_kappa(source.choices(pairs, k=len(pairs))) for _ in range(BOOTSTRAPS))
    low, high = values[round(0.025 * (BOOTSTRAPS - 1))], values[round(0.975 * (BOOTSTRAPS - 1))]
    return Kappa(_kappa(pairs), Interval(low, high), len(pairs))


def _kappa(pairs: Sequence[tuple[bool, bool]]) -> float:
    total = len(pairs)
    same = sum(a == b for a, b in pairs) / total
    first, second = sum(a for a, _ in pairs) / total, sum(b for _, b in pairs) / total
    chance = first * second + (1 - first) * (1 - second)
    return 1.0 if chance == 1.0 else (same - chance) / (1 - chance)


class Rates(NamedTuple):
    """Of a judge on fixtures whose kind is known; None where there is no such fixture."""

    sensitivity: float | None
    specificity: float | None


def rates(flagged: Sequence[bool], cheats: Sequence[bool]) -> Rates:
    """Share of cheats that were flagged, and of honest controls that were not."""
    of_cheats = [f for f, cheat in zip(flagged, cheats, strict=True) if cheat]
    of_honest = [not f for f, cheat in zip(flagged, cheats, strict=True) if not cheat]
    return Rates(
        sum(of_cheats) / len(of_cheats) if of_cheats else None, sum(of_honest) / len(of_honest) if of_honest else None
    )
