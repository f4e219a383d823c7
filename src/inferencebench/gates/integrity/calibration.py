"""Thresholds of the margins, derived from a measured zoo: honest engines on one side, impostors on the other.

A threshold may fail a run only where the worst honest control plus three standard errors lies below the best impostor
minus three: then it is half-way between. Otherwise the check only asks for a review, and the suite says so.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, ValidationError

from inferencebench.suites.model import Record

FOLDER = Path(__file__).parent / "calibrations"
STANDARD_ERRORS = 3.0


class Seen(NamedTuple):
    """The effect of one fixture: mean deficit per token beyond the baseline's, nats."""

    fixture: str
    kind: Literal["cheat", "honest"]
    nats: float
    """For `wrong`: a share."""
    se: float
    tokens: int
    """For `wrong`: answers."""


class Threshold(Record):
    """Of one check, nats per token. `fail` None: the zoo's two sides are too close, so it only reviews."""

    review: float
    fail: float | None


NO_MISTAKES = Threshold(review=0.30, fail=None)
"""Where the reference makes too few mistakes to calibrate on."""


class Calibration(Record):
    """Thresholds of a base model, with what they were derived from."""

    wrong: Threshold = NO_MISTAKES
    """Of the share of the reference's wrong answers that are answered otherwise (A3)."""

    model: str
    """Id of the base model."""
    margins: Threshold
    opening: Threshold
    seen: dict[str, tuple[Seen, ...]] = Field(default_factory=dict)
    """By check: fixture, kind, nats, standard error, tokens."""
    provenance: dict[str, str] = Field(default_factory=dict)
    """Suite, hardware, software and date."""

    def note(self) -> str:
        """One line on what the gate can tell apart here."""
        lacking = [name for name in ("margins", "opening", "wrong") if getattr(self, name).fail is None]
        return f"{' and '.join(lacking)} only review: honest engines and impostors are too close" if lacking else ""


START = Calibration(model="", margins=Threshold(review=0.12, fail=0.30), opening=Threshold(review=0.40, fail=0.80))
"""Start values, for models without a calibration."""


def derive(seen: Sequence[Seen]) -> Threshold:
    """The threshold that separates honest controls from impostors. Raises ValueError without both kinds."""
    honest = [s.nats + STANDARD_ERRORS * s.se for s in seen if s.kind == "honest"]
    cheats = [s.nats - STANDARD_ERRORS * s.se for s in seen if s.kind == "cheat"]
    if not honest or not cheats:
        raise ValueError("a calibration needs honest controls and impostors")
    worst, best = max(honest), min(cheats)
    return Threshold(review=round(max(worst, 0.0), 3), fail=round((worst + best) / 2, 3) if best > worst else None)


def seen_share(fixture: str, kind: Literal["cheat", "honest"], same: int, total: int) -> Seen:
    """The share of `total` wrong answers that a fixture did not share, with its standard error.

    Half an answer is added on either side (Jeffreys), so that 0 of 12 has an error too."""
    share = (total - same + 0.5) / (total + 1)
    return Seen(fixture, kind, round(share, 4), round((share * (1 - share) / (total + 1)) ** 0.5, 4), total)


def path_of(model: str) -> Path:
    """Where the calibration of a base model is kept."""
    return FOLDER / f"{model.replace('/', '--').lower()}.json"


@cache
def calibration_of(model: str) -> Calibration:
    """The stored calibration of a base model, or the start values."""
    try:
        return Calibration.model_validate_json(path_of(model).read_bytes())
    except (OSError, ValidationError):
        return START
