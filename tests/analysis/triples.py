"""Three scores per cell that have a published mean and standard error, and together a published aggregate.

Three numbers with mean m and SEM e are m + 2 e cos(t + 2 pi i / 3) for some angle t; a failed run is exactly 1.0, which
fixes the angle. The angles and the placing of failures that are left free carry the aggregate's own SEM and the best of
three; they are looked for at random, with a fixed seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TRIES = 60_000
SLACK = 0.0047
"""Published values are rounded to two digits."""

Triples = NDArray[np.float64]
"""Scores, [tries, 3]."""


@dataclass(frozen=True)
class Published:
    """A published mean ± SEM."""

    mean: float
    sem: float


@dataclass(frozen=True)
class Line:
    """A published line: its cells, its aggregate, and its best-of-three aggregate where there is one."""

    cells: tuple[Published, ...]
    aggregate: Published | None = None
    """None where it was not published; without a SEM (nan) only its mean counts."""
    best: float | None = None


@dataclass(frozen=True)
class Solution:
    """Scores [scenario][seed]; `failed` are exactly 1.0. `sem_error` is what no choice could mend."""

    scores: tuple[tuple[float, ...], ...]
    failed: int
    error: float
    sem_error: float


def solve(line: Line, *, failures: bool, seed: int = 7, use_sem: bool = True) -> dict[int, Solution]:
    """The closest scores for each possible number of failed runs."""
    rng = np.random.default_rng(seed)
    drawn = [_cell(cell, rng, failures) for cell in line.cells]
    scores = np.stack([d[0] for d in drawn], axis=1)
    failed = np.sum([d[1] for d in drawn], axis=0)
    error, sem_error = _errors(scores, line, use_sem)
    found = {}
    for count in np.unique(failed):
        rows = np.flatnonzero(failed == count)
        at = rows[np.argmin(error[rows])]
        if np.isfinite(error[at]):
            found[int(count)] = Solution(
                tuple(tuple(map(float, cell)) for cell in scores[at]),
                int(count),
                float(error[at]),
                float(sem_error[at]),
            )
    return found


def _errors(scores: NDArray[np.float64], line: Line, use_sem: bool) -> tuple[NDArray[np.float64], ...]:
    """How far each try is from the published aggregate, its SEM and the best of three."""
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(scores.mean(axis=2)).mean(axis=1)
        left = np.stack([np.exp(np.log(np.delete(scores, i, axis=2).mean(axis=2)).mean(axis=1)) for i in range(3)])
        sem = np.sqrt(2 / 3 * ((left - left.mean(axis=0)) ** 2).sum(axis=0))
        best = np.exp(np.log(scores.max(axis=2)).mean(axis=1))
    sem_error = np.abs(sem - (line.aggregate.sem if line.aggregate else np.nan))
    error = 0 * logs if line.aggregate is None else np.abs(np.exp(logs) - line.aggregate.mean)
    if use_sem:
        error = error + sem_error
    if line.best is not None:
        error = error + np.abs(best - line.best)
    return np.where(np.isfinite(error), error, np.inf), sem_error


def _cell(cell: Published, rng: np.random.Generator, failures: bool) -> tuple[Triples, NDArray[np.int64]]:
    """Tries for one cell, and how many of the three failed in each."""
    if cell.sem == 0 and cell.mean == 1:
        return np.ones((TRIES, 3)), np.full(TRIES, 3 if failures else 0)
    mean = cell.mean + rng.uniform(-SLACK, SLACK, TRIES)
    sem = np.maximum(cell.sem + rng.uniform(-SLACK, SLACK, TRIES), 1e-4)
    count = rng.integers(0, 3 if failures else 1, TRIES)
    if failures and abs(abs(cell.mean - 1) - cell.sem) > 2 * SLACK:
        count[count == 2] = 0
    angle = rng.uniform(0, 2 * np.pi, TRIES)
    # A failed run: its deviation 1 - mean is 2 e cos(angle).
    cosine = (1 - mean) / (2 * sem)
    possible = np.abs(cosine) <= 1
    count[(count == 1) & ~possible] = 0
    one = count == 1
    angle[one] = np.arccos(np.clip(cosine[one], -1, 1)) * rng.choice((1, -1), one.sum())
    scores = mean[:, None] + 2 * sem[:, None] * np.cos(angle[:, None] + np.arange(3) * 2 * np.pi / 3)
    scores[one, 0] = 1.0
    two = count == 2
    middle = np.clip((cell.mean + 1 + np.sign(cell.mean - 1) * cell.sem) / 2, cell.mean - SLACK, cell.mean + SLACK)
    scores[two] = np.array([1.0, 1.0, 3 * middle - 2])
    bad = (scores <= 0.05).any(axis=1)
    scores[bad] = np.nan
    turn = rng.permuted(np.tile(np.arange(3), (TRIES, 1)), axis=1)
    return np.take_along_axis(scores, turn, axis=1), count


def spread(means: Sequence[float], failed: int) -> list[list[float]]:
    """Scores with these cell means and so many runs at exactly 1.0, whatever the SEMs: at most two in a cell above
    1."""
    scores = [[1.0] * 3 if mean == 1 else [mean * 0.9, mean, mean * 1.1] for mean in means]
    left = failed - 3 * sum(mean == 1 for mean in means)
    for mean, cell in zip(means, scores, strict=True):
        count = 0 if mean <= 1 else min(2, left)
        left -= count
        if count:
            cell[:] = [1.0] * count + [(3 * mean - count) / (3 - count)] * (3 - count)
    if left:
        raise ValueError(f"{failed} failed runs do not fit")
    return scores


def choose(options: Sequence[dict[int, Solution]], total: int, tolerance: float) -> list[Solution]:
    """One solution of each line so that `total` runs failed, the sum of errors least; only within `tolerance` where a
    line has such."""
    costs: dict[int, tuple[float, list[Solution]]] = {0: (0.0, [])}
    for found in options:
        close = [s for s in found.values() if s.error <= tolerance] or [min(found.values(), key=lambda s: s.error)]
        after: dict[int, tuple[float, list[Solution]]] = {}
        for count, (cost, chosen) in costs.items():
            for solution in close:
                key, price = count + solution.failed, cost + solution.error
                if key not in after or price < after[key][0]:
                    after[key] = (price, [*chosen, solution])
        costs = after
    return costs[total][1]
