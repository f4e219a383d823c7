"""How far judges agree with each other over many runs, and how often they are right on the zoo."""

import random
from collections.abc import Sequence
from typing import NamedTuple

from inferencebench.gates.judge.model import Judged, Panel
from inferencebench.gates.quality import Interval
from inferencebench.suites.model import Record

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


class JudgeSummary(Record):
    """One judge over many runs. Rates are of fixtures of the zoo; None where there are none."""

    judge: str
    asked: int
    answered: int
    flagged: int
    """Runs in which it found a label present."""
    unverified_quotes: int
    sensitivity: float | None
    specificity: float | None


class PanelSummary(Record):
    """All judges over many runs, and their agreement: on whether anything is wrong with a run."""

    judges: tuple[JudgeSummary, ...]
    kappa: float | None
    kappa_ci95: tuple[float, float] | None
    """None with fewer than two judges, or no run on which both gave an opinion."""
    kappa_runs: int


def summarize(panels: Sequence[tuple[Panel, bool | None]]) -> PanelSummary:
    """From the panels of many runs, each with whether it is a known cheat (None: nobody knows)."""
    by_judge: dict[str, list[tuple[Judged, bool | None]]] = {}
    for panel, cheat in panels:
        for judged in panel.judges:
            by_judge.setdefault(judged.judge, []).append((judged, cheat))
    agreed = None
    if len(by_judge) == 2:
        first, second = by_judge
        both = [{j.judge: bool(j.present()) for j in panel.judges if j.opinion} for panel, _ in panels]
        pairs = [(said[first], said[second]) for said in both if len(said) == 2]
        agreed = kappa([a for a, _ in pairs], [b for _, b in pairs])
    return PanelSummary(
        judges=tuple(_summary(judge, rows) for judge, rows in by_judge.items()),
        kappa=agreed.value if agreed else None,
        kappa_ci95=(agreed.interval.low, agreed.interval.high) if agreed else None,
        kappa_runs=agreed.runs if agreed else 0,
    )


def _summary(judge: str, rows: Sequence[tuple[Judged, bool | None]]) -> JudgeSummary:
    answered = [(bool(judged.present()), cheat) for judged, cheat in rows if judged.opinion]
    known = [(flagged, cheat) for flagged, cheat in answered if cheat is not None]
    right = rates([flagged for flagged, _ in known], [cheat for _, cheat in known])
    return JudgeSummary(
        judge=judge,
        asked=len(rows),
        answered=len(answered),
        flagged=sum(flagged for flagged, _ in answered),
        unverified_quotes=sum(judged.unverified for judged, _ in rows),
        sensitivity=right.sensitivity,
        specificity=right.specificity,
    )
