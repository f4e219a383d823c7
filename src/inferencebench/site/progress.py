"""Runs that are under way or were cut off: what their own logs say."""

import os
from collections.abc import Iterable
from pathlib import Path

from inferencebench.site import reading
from inferencebench.site.model import Unfinished

TAIL_BYTES = 64 << 10


def unfinished(directories: Iterable[Path]) -> list[Unfinished]:
    """Every run directory below these that has a spec and no result."""
    rows, seen = [], set()
    for root in directories:
        for folder, folders, names in os.walk(root):
            if "spec.json" in names:
                folders[:] = [f for f in folders if f.startswith("r") and f[1:].isdigit()]
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            here = Path(folder)
            if "spec.json" in names and "result.json" not in names and here.resolve() not in seen:
                seen.add(here.resolve())
                row = _row(here)
                if row is not None:
                    rows.append(row)
    return rows


def _row(directory: Path) -> Unfinished | None:
    spec = reading.json_object(directory / "spec.json")
    suite, pair = spec.get("suite"), spec.get("seed_pair")
    if not isinstance(suite, dict) or not isinstance(pair, dict):
        return None
    try:
        events = reading.json_lines(reading.tail(directory / "events.jsonl", TAIL_BYTES).data)
    except reading.NOT_READ:
        events = []
    times = [float(e["at"]) for e in events if isinstance(e.get("at"), int | float)]
    phase = next((f"{e.get('phase')}" for e in reversed(events) if e.get("event") == "phase_started"), "waiting")
    condition = spec.get("condition")
    settings = condition if isinstance(condition, dict) else {}
    named = "+".join(f"{k}={v}" for k, v in sorted(settings.items()) if v not in (None, False, "default"))
    return Unfinished(
        suite=str(suite.get("name", ""))[:80],
        scenario=str(spec.get("scenario", ""))[:40],
        agent=str(spec.get("agent", ""))[:200],
        condition=named[:200] or "default",
        seeds=f"{pair.get('dev')}-{pair.get('eval')}"[:60],
        phase=phase[:40],
        started_at=min(times, default=None),
        last_at=max(times, default=None),
        evaluations=_evaluations(directory),
    )


def _evaluations(directory: Path) -> int:
    try:
        log = directory / "solve" / "evaluations" / "evaluations.jsonl"
        return len(reading.json_lines(reading.head(log, 1 << 20).data))
    except reading.NOT_READ:
        return 0
