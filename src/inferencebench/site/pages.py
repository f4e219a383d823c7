"""From records to the text of pages. Every value is escaped by the templates, or is data that scripts set as text."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import orjson
from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape

from inferencebench import __version__
from inferencebench.files import sha256_bytes
from inferencebench.site import reading, units
from inferencebench.site.model import RunPage, RunRow, Unfinished
from inferencebench.site.published import published
from inferencebench.site.tables import BoardTables

PLOT_STYLE = "'sha256-jSYQUrW7J0b3jPqhZP9C2Xh1PyJKHKXd4s0fpGGKrww='"
"""The one style element that Observable Plot puts into its SVG."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' {style}; img-src 'self' data:; connect-src {connect}; "
    "base-uri 'none'; form-action 'none'"
)
RUN_SUFFIXES = (".html", ".js", ".json")
TEMPLATES = ("base.html", "index.html", "run.html", "compare.html", "tables.html", "downloads.html")


def policy(live: bool) -> str:
    """The content security policy of all pages; live pages ask their own server whether something is new."""
    return POLICY.format(style=PLOT_STYLE, connect="'self'" if live else "'none'")


def version() -> str:
    """Changes when a page would look otherwise."""
    return sha256_bytes("".join(map(_source, TEMPLATES)).encode() + policy(False).encode())


def overview(
    tables: Sequence[BoardTables], rows: Sequence[RunRow], under_way: Sequence[Unfinished], skipped: int, live: bool
) -> dict[str, str]:
    """The pages that show all runs, and their data, by path."""
    common = {"depth": "", "live": live}
    views = [board.view for board in tables]
    counts = Counter(row.outcome for row in rows)
    facts = {
        "runs": len(rows),
        "agents": len({row.agent for row in rows}),
        "suites": len({row.suite for row in rows}),
        "passed": counts["passed"],
        "usd": sum(row.api_usd or 0.0 for row in rows),
        "hours": sum(row.total_s for row in rows) / 3600,
    }
    data = {
        "boards": [view.model_dump(mode="json") for view in views],
        "runs": [row.model_dump(mode="json") for row in rows],
        "unfinished": [row.model_dump(mode="json") for row in under_way],
        "published": published().model_dump(mode="json"),
    }
    names = ("runs", "cells", "agents")
    return {
        "index.html": _render("index.html", facts=facts, views=views, skipped=skipped, **common),
        "compare.html": _render("compare.html", **common),
        "tables.html": _render("tables.html", boards=tables, **common),
        "downloads.html": _render("downloads.html", names=names, **common),
        "data/overview.js": script("overview", data),
    }


def run_files(page: RunPage, live: bool) -> dict[str, str]:
    """A run's page and the data of its charts, by suffix; the record itself is copied beside them."""
    result = page.result
    checks = result.integrity.checks if result.integrity else ()
    html = _render(
        "run.html",
        page=page,
        row=page.row,
        result=result,
        checks=sorted(checks, key=lambda c: ("fail", "review", "pass", "not_applicable").index(c.verdict.value)),
        costs=_numbers(result.cost.model_dump()),
        profiles=_profiles(page),
        diff_lines=diff_lines(page.diff.text) if page.diff else [],
        depth="../",
        live=live,
    )
    data = page.model_dump(mode="json", exclude={"trajectory", "events", "files"})
    data["launcher"] = next((f.text for f in page.files if f.name == "start_server.sh"), "")
    return {".html": html, ".js": script(page.row.id, data)}


def script(name: str, data: Any) -> str:
    """A script that hands over data: JSON inside a string, so that no text is code and no key a prototype."""
    text = reading.readable(orjson.dumps(data, default=str).decode())
    return f"IB.put({_literal(name)}, {_literal(text)});\n"


def diff_lines(text: str) -> list[tuple[str, str]]:
    """Class and text of every line of a unified diff."""
    classes = {"+": "add", "-": "del", "@": "at"}
    return [
        ("file" if line.startswith(("+++", "---")) else classes.get(line[:1], "same"), line)
        for line in text.splitlines()
    ]


def _literal(text: str) -> str:
    return orjson.dumps(text).decode().replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _numbers(values: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (units.words(name), units.quantity(name, float(value)))
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def _profiles(page: RunPage) -> list[dict[str, Any]]:
    """One row per profile and launch: distributions with their unit."""
    measured = page.result.measurement
    rows = []
    for number, measurement in enumerate(measured.measurements if measured else ()):
        for profile in measurement.profiles:
            names = ("ttft_s", "tpot_s", "itl_s", "latency_s", "ttft_scheduled_s")
            values = {name: getattr(profile, name) for name in names}
            rows.append({"launch": number + 1, "profile": profile, "values": values})
    return rows


def _render(name: str, **values: Any) -> str:
    text = _environment().get_template(name).render(policy=policy(values["live"]), version=__version__, **values)
    return reading.readable(text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "quantity": lambda value, name: units.quantity(name, value),
        "words": units.words,
        "size": units.bytes_text,
        "metric": lambda name: units.TITLES.get(str(name), str(name)),
    }
    return environment


def _source(name: str) -> str:
    return files("inferencebench.site").joinpath("templates").joinpath(name).read_text(encoding="utf-8")
