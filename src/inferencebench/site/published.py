"""The published results, as a reference beside ours: facts from the paper, never on one board with our runs."""

from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from inferencebench.suites.model import Record

KINDS = {"search": "search", "default_engine": "default", "baseline": "baseline"}
LETTERS = ("A", "B", "C", "D")

_SECTIONS = {
    "outcomes": ("table3_outcomes", "table9_tau_sensitivity", "table14_failure_modes"),
    "found": ("table4_best_seen", "table17_best_seen_per_agent", "table16_best_of_three"),
    "conditions": (
        "table5_structured_prompt",
        "table6_base_model",
        "table18_hardware",
        "table20_warm_start",
        "table21_forced_engine",
        "table19_search_grid",
    ),
    "scenarios": ("table11_native_units",),
    "cost": ("table12_cost", "table13_cost_per_speedup"),
}
"""Section of the page → the paper's tables shown in it."""

_TITLES = {
    "table3_outcomes": "Outcomes of 180 runs",
    "table4_best_seen": "Best agent as shipped, best seen, and search",
    "table5_structured_prompt": "Structured prompt",
    "table6_base_model": "Base models",
    "table9_tau_sensitivity": "Quality threshold τ",
    "table11_native_units": "Native units (derived by the paper from penalised means)",
    "table12_cost": "Cost in US dollars, 12 runs each",
    "table13_cost_per_speedup": "US dollars per × of speedup",
    "table14_failure_modes": "Failure modes (not exclusive)",
    "table16_best_of_three": "Best of three",
    "table17_best_seen_per_agent": "Best seen and shipped, by agent",
    "table18_hardware": "Hardware",
    "table19_search_grid": "Search: optimizer and engine",
    "table20_warm_start": "Start from a working vLLM server (the site's “vLLM-only” row)",
    "table21_forced_engine": "Forced engine",
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
    data = orjson.loads(files("inferencebench.site").joinpath("data/published.json").read_bytes())
    figure = data["figure2_time_budget"]
    return Published(
        paper=data["about"]["paper"],
        rows=tuple(_row(row) for row in data["table2_main"]["rows"]),
        budget_hours=tuple(figure["hours"]),
        budgets={name: tuple(values) for name, values in figure["series"].items()},
        behaviour={k: v for k, v in data["table15_behaviour"].items() if k != "source"},
        references=tuple(
            _reference(section, name, data[name]) for section, names in _SECTIONS.items() for name in names
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
        case _:
            return str(value)
