"""The published results, as a reference beside ours: facts from the paper, never on one board with our runs."""

from functools import cache
from typing import Any

from inferencebench.analysis import published as paper
from inferencebench.suites.model import Record

KINDS = {"search": "search", "default_engine": "default", "baseline": "baseline"}
LETTERS = ("A", "B", "C", "D")

_SECTIONS = {
    "outcomes": ("outcomes", "thresholds", "failures", "volatility"),
    "found": ("best-seen", "best-seen-agents", "best-of-n"),
    "conditions": (
        "structured",
        "base-model",
        "hardware",
        "warm-start",
        "forced-engine",
        "grid",
    ),
    "scenarios": ("native", "parameters"),
    "cost": ("cost", "cost-per-speedup"),
}
"""Section of the page → the paper's tables shown in it, by the names of `inferencebench tables`."""

_TITLES = {
    "outcomes": "Outcomes of 180 runs",
    "best-seen": "Best agent as shipped, best seen, and search",
    "structured": "Structured prompt",
    "base-model": "Base models",
    "thresholds": "Quality threshold τ",
    "native": "Native units (derived by the paper from penalised means)",
    "cost": "Cost in US dollars, 12 runs each",
    "cost-per-speedup": "US dollars per × of speedup",
    "failures": "Failure modes (not exclusive)",
    "best-of-n": "Best of three",
    "volatility": "Range of quartiles over the seeds",
    "parameters": "Runtime parameters",
    "best-seen-agents": "Best seen and shipped, by agent",
    "hardware": "Hardware",
    "grid": "Search: optimizer and engine",
    "warm-start": "Start from a working vLLM server (the site's “vLLM-only” row)",
    "forced-engine": "Forced engine",
}


class Reference(Record):
    """One published table."""

    section: str
    title: str
    source: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class PublishedRow(Record):
    """One row of the published main table."""

    agent: str
    scaffold: str
    kind: str
    rank: int | None
    means: dict[str, float]
    """`aggregate` and the scenarios A to D: speedup over the paper's own PyTorch baseline."""
    sems: dict[str, float]


class Published(Record):
    """All of it."""

    paper: str
    rows: tuple[PublishedRow, ...]
    budget_hours: tuple[float, ...]
    budgets: dict[str, tuple[float, ...]]
    behaviour: dict[str, Any]
    references: tuple[Reference, ...]


@cache
def published() -> Published:
    """The published values that the package carries."""
    figure = paper.table("budget")
    return Published(
        paper=paper.published()["about"]["paper"],
        rows=tuple(_row(row) for row in paper.table("main")["rows"]),
        budget_hours=tuple(figure["hours"]),
        budgets={name: tuple(values) for name, values in figure["series"].items()},
        behaviour={k: v for k, v in paper.table("behaviour").items() if k != "source"},
        references=tuple(
            _reference(section, name, paper.table(name)) for section, names in _SECTIONS.items() for name in names
        ),
    )


def _row(row: dict[str, Any]) -> PublishedRow:
    cells = {"aggregate": row["aggregate"]} | {letter: row[letter] for letter in LETTERS}
    return PublishedRow(
        agent=row["method"],
        scaffold="" if row["kind_or_scaffold"] in KINDS else row["kind_or_scaffold"],
        kind=KINDS.get(row["kind_or_scaffold"], "agent"),
        rank=row["rank"],
        means={name: cell["mean"] for name, cell in cells.items()},
        sems={name: cell["sem"] for name, cell in cells.items()},
    )


def _reference(section: str, name: str, table: dict[str, Any]) -> Reference:
    columns = tuple(dict.fromkeys(key for row in table["rows"] for key in row))
    return Reference(
        section=section,
        title=_TITLES[name],
        source=table["source"],
        columns=tuple(column.replace("_", " ") for column in columns),
        rows=tuple(tuple(_text(row.get(column)) for column in columns) for row in table["rows"]),
    )


def _text(value: Any) -> str:
    """A cell: `mean ± SEM`, `passed of total`, or the value itself."""
    match value:
        case None:
            return "–"
        case {"mean": mean, "sem": sem}:
            return f"{mean:g} ± {sem:g}"
        case {"passed": passed, "total": total}:
            return f"{passed} of {total}"
        case float():
            return f"{value:g}"
        case list():
            return "; ".join(map(_text, value))
        case dict():
            return ", ".join(f"{name.replace('_', ' ')} {_text(one)}" for name, one in value.items())
        case _:
            return str(value)
