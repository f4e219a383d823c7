"""What the records of a campaign say of where and when its runs worked."""

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from inferencebench.files import read_jsonl

GAP_S = 20.0
"""The most that lies between two runs on one node, beyond agent and measurement (median)."""


class Span(NamedTuple):
    """One process of a run at work: from its first to its last event, seconds since the epoch."""

    begin: float
    end: float
    node: str
    run: str


def placements(out: Path) -> dict[str, list[dict[str, object]]]:
    """Rows of the campaign's log by task."""
    found = defaultdict(list)
    for row in read_jsonl(out / ".campaign" / "tasks.jsonl"):
        if row["task"]:
            found[row["task"]].append(row)
    return dict(found)


def spans(out: Path, rows: list[dict[str, str]]) -> list[Span]:
    """Every attempt of every run with its node, from the runs' own events and the campaign's log."""
    log = placements(out)
    found = []
    for row in rows:
        where = [(float(str(r["at"])), node_of(str(r["where"]))) for r in log[row["id"]] if r["event"] == "began"]
        by_pid: dict[int, list[float]] = {}
        for event in read_jsonl(out / row["directory"] / "events.jsonl"):
            by_pid.setdefault(event["pid"], []).append(event["at"])
        for times in by_pid.values():
            node = next((n for at, n in reversed(where) if at <= times[-1] + 2.0), where[0][1] if where else "?")
            found.append(Span(min(times), max(times), node, row["directory"]))
    return sorted(found)


def held(out: Path, rows: list[dict[str, str]]) -> list[Span]:
    """When each process held the machine's device, from the runs' own events."""
    found = []
    for row in rows:
        by_pid: dict[int, list[dict[str, object]]] = {}
        for event in read_jsonl(out / row["directory"] / "events.jsonl"):
            by_pid.setdefault(event["pid"], []).append(event)
        for events in by_pid.values():
            begin = next((e for e in events if e["event"] == "device_held"), None)
            if begin is not None:
                last = next((e for e in events if e["event"] == "device_released"), events[-1])
                device = str(begin["devices"])
                found.append(Span(float(str(begin["at"])), float(str(last["at"])), device, row["directory"]))
    return sorted(found)


def node_of(where: str) -> str:
    """The node in an executor's own words: Slurm's name, Ray's `node=`, HTCondor's `SLOT@NODE`, or the host."""
    words = where.split()
    return next(
        (word for word in words if word.startswith("node=")), words[0].partition("@")[2] or words[0] if words else "?"
    )


def overlaps(found: list[Span]) -> list[tuple[Span, Span]]:
    """Pairs of spans of one node that overlap."""
    by_node: dict[str, list[Span]] = defaultdict(list)
    for span in sorted(found):
        by_node[span.node].append(span)
    return [(a, b) for row in by_node.values() for a, b in pairwise(row) if b.begin < a.end]


def gaps(found: list[Span]) -> list[float]:
    """Seconds between the last event of a run and the first of the next one on its node: all that scheduling costs,
    the end of one process, the scheduler, and the start of another one with its checks."""
    by_node: dict[str, list[Span]] = defaultdict(list)
    for span in sorted(found):
        by_node[span.node].append(span)
    return sorted(b.begin - a.end for row in by_node.values() for a, b in pairwise(row))


def speeds(out: Path, rows: list[dict[str, str]]) -> dict[str, list[float]]:
    """Raw speedups by agent."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        result = json.loads((out / row["directory"] / "result.json").read_bytes())
        if result["raw_speedup"]:
            found[result["agent"]].append(result["raw_speedup"])
    return dict(found)
