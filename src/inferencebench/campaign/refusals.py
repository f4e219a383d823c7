"""Starts that a run's own preflight refused: nothing of the run began, so they are no attempts; their places rest.

A place is a host (`node7`), or one of its GPUs where the executor says which (`node7 gpu 2`). A sick one is free all
the time, so without a rest it would refuse one run after another.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from inferencebench.campaign.executors.contract import Life, Status
from inferencebench.doctor.model import Status as Found
from inferencebench.run import preflight

EXIT_REFUSED = 3
MANY = 3
"""Refusals in a row, of a place or of a run, from which `status` says so."""
PER_ATTEMPT = 3
"""A run is given up after so many refusals in a row for each attempt it has: with the defaults nine, in two hours."""
LONGEST_S = 3600.0
"""A place that refuses is asked again every hour at least."""


class Refusal(NamedTuple):
    """One refused start."""

    places: tuple[str, ...]
    """What was not fit."""
    preflight_ns: int
    """The time of the preflight's file: it says so once."""


class Rest(NamedTuple):
    """A place that refused its newest starts."""

    refusals: int
    """In a row."""
    at: float
    """Epoch seconds of the newest."""
    reason: str


def pause_s(backoff_s: float, times: int) -> float:
    """Seconds of waiting after the failure or refusal number `times`; 0 before the first."""
    return min(backoff_s * 2.0 ** min(times - 1, 20), max(backoff_s, LONGEST_S)) if times else 0.0


def over(at: float, pause: float, now: float) -> bool:
    """Whether a pause since `at` has ended; times are rounded, and a clock that was set back must not hold anything."""
    return not -1.0 <= now - at < pause


def read(directory: Path, status: Status, where: str, seen_ns: int) -> Refusal | None:
    """The refusal by which a placement ended, from the preflight that its run left; None: it ended otherwise, or the
    preflight is the one of time `seen_ns`, counted before."""
    if status.life is not Life.ENDED or status.exit_code != EXIT_REFUSED:
        return None
    try:
        written_ns = (directory / preflight.FILE).stat().st_mtime_ns
    except OSError:
        return None
    missing = [found.name for found in preflight.read(directory) or () if found.status is Found.MISSING]
    if not missing or written_ns == seen_ns:
        return None
    host, *gpus = places(where)
    sick = tuple(gpu for gpu in gpus if gpu.removeprefix(f"{host} ") in missing)
    return Refusal(sick if len(sick) == len(missing) else (host,), written_ns)


def places(where: str) -> tuple[str, ...]:
    """The host that an executor names, and then its GPUs that it names."""
    host = where.partition(" ")[0].rpartition("@")[2]
    gpus = re.search(r" gpus=([0-9,]+)", where)
    return (host, *(f"{host} gpu {number}" for number in gpus[1].split(",") if number)) if gpus else (host,)


def take_in(rests: dict[str, Rest], row: Mapping[str, Any]) -> None:
    """Keep the places whose newest starts were refused, with the next row of the campaign's log: any other end there
    shows that a place is fit, and who starts the campaign again may have mended it."""
    if row.get("event") == "started":
        rests.clear()
    if row.get("event") != "ended":
        return
    if refused := row.get("refused"):
        for place in refused:
            before = rests[place].refusals if place in rests else 0
            rests[place] = Rest(before + 1, float(row.get("at", 0.0)), str(row.get("reason")))
    else:
        for place in places(str(row.get("where", ""))):
            rests.pop(place, None)
