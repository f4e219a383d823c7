"""The pictures of a search: settings against the result, what mattered, and latency against throughput."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inferencebench.errors import MissingError
from inferencebench.plots import render, style
from inferencebench.search.journal import Entry
from inferencebench.search.outcome import Incumbent, Outcome
from inferencebench.search.trials import Status
from inferencebench.suites.model import Metric

NAME = "search"
UNSET = "unset"
KINDS = [style.BLUE, "#222222", "#55aa99", "#aa77cc", style.GREY]
"""Colours of the kinds of trials."""


def write(
    folder: Path,
    title: str,
    outcome: Outcome,
    entries: Sequence[Entry],
    metric: Metric,
    weights: Mapping[str, float],
    front: Sequence[Entry],
) -> str | None:
    """Write `search.svg` and `search.html`; the SVG's text, or None where the plotting packages are missing."""
    path = folder / f"{NAME}.svg"
    try:
        render.check(path)
    except MissingError:
        return None
    chart = picture(title, outcome, entries, metric, weights, front)
    for suffix in (".svg", ".html"):
        render.save(chart, path.with_suffix(suffix))
    return path.read_text()


def picture(
    title: str,
    outcome: Outcome,
    entries: Sequence[Entry],
    metric: Metric,
    weights: Mapping[str, float],
    front: Sequence[Entry],
) -> Any:
    """Four panels. One without data is left out."""
    import altair as alt

    below = [p for p in (_importance(weights), _front(entries, front)) if p is not None]
    panels = [_parallel(entries, metric), *([alt.hconcat(*below, spacing=64)] if below else [])]
    if (anytime := _anytime(entries, outcome, metric)) is not None:
        panels.append(anytime)
    served = sum(e.reading is not None and e.reading.status is Status.OK for e in entries)
    note = f"{len(entries)} launches, {served} served as asked; {metric} is better when {_better(metric)}"
    return style.finished(alt.vconcat(*panels, spacing=40), title, [note])


def _better(metric: Metric) -> str:
    return "lower" if metric.lower_is_better else "higher"


def _value(entry: Entry, metric: Metric) -> float | None:
    if entry.reading is None or entry.reading.status is not Status.OK:
        return None
    return entry.reading.metrics.get(metric.value)


def axes(entries: Sequence[Entry], metric: Metric) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Points of the lines (one per launch and axis, height from 0 to 1) and the labels beside the axes.

    A launch that did not serve has no point on the result's axis."""
    names = list(dict.fromkeys(name for e in entries for name in e.candidate.configuration))
    columns: dict[str, list[str]] = {"engine": [e.candidate.engine for e in entries]}
    for name in names:
        columns[name] = [_shown(e.candidate.configuration.get(name)) for e in entries]
    if len(set(columns["engine"])) == 1:
        del columns["engine"]
    points: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    values = [_value(e, metric) for e in entries]
    for name, column in columns.items():
        levels = sorted(set(column), key=_order)
        height = {level: i / max(1, len(levels) - 1) for i, level in enumerate(levels)}
        labels += [{"axis": name, "height": height[level], "label": level} for level in levels]
        points += [
            {"trial": e.number, "axis": name, "height": height[at], "value": value}
            for e, at, value in zip(entries, column, values, strict=True)
        ]
    known = [value for value in values if value is not None]
    if known:
        least, span = min(known), (max(known) - min(known)) or 1.0
        last = metric.value
        labels += [{"axis": last, "height": at, "label": f"{least + at * span:.4g}"} for at in (0.0, 0.5, 1.0)]
        points += [
            {"trial": e.number, "axis": last, "height": (value - least) / span, "value": value}
            for e, value in zip(entries, values, strict=True)
            if value is not None
        ]
    return points, labels


def _shown(value: object) -> str:
    return UNSET if value is None else str(value)


def _order(level: str) -> tuple[int, float, str]:
    try:
        return 1, float(level), level
    except ValueError:
        return (0 if level == UNSET else 2), 0.0, level


def _parallel(entries: Sequence[Entry], metric: Metric) -> Any:
    import altair as alt

    points, labels = axes(entries, metric)
    order = list(dict.fromkeys(row["axis"] for row in points))
    x = alt.X("axis:N", sort=order, title=None, axis=alt.Axis(labelAngle=0, orient="top", domain=False, grid=True))
    y = alt.Y("height:Q", axis=None, scale=alt.Scale(domain=[-0.05, 1.05]))
    colours = [style.ORANGE, "#d9dde3"] if metric.lower_is_better else ["#d9dde3", style.ORANGE]
    colour = alt.Color("value:Q", scale=alt.Scale(range=colours, interpolate="rgb"), legend=None)
    size = {"width": max(2 * style.WIDTH, 128 * len(order)), "height": 300}
    base = alt.Chart(style.values(points), title="Every launch: its settings and its result", **size)
    base = base.encode(x=x, y=y, detail="trial:N", tooltip=["trial:N", alt.Tooltip("value:Q", format=".4g")])
    served = base.transform_filter("isValid(datum.value)").mark_line(strokeWidth=1.8, opacity=0.9)
    broken = base.transform_filter("!isValid(datum.value)").mark_line(strokeDash=[3, 4], color=style.RED, opacity=0.6)
    text = (
        alt.Chart(style.values(labels))
        .mark_text(align="left", dx=5, fontSize=10, color="#333", stroke="white", strokeWidth=0.2)
        .encode(x=x, y=y, text="label:N")
    )
    return broken + served.encode(color=colour) + text


def _anytime(entries: Sequence[Entry], outcome: Outcome, metric: Metric) -> Any:
    """Every reading by the time it was there, and the best as the search saw it then."""
    import altair as alt

    read = [
        {"min": e.at_s / 60, "value": value, "what": e.kind.value, "trial": e.number}
        for e in entries
        if (value := _value(e, metric)) is not None
    ]
    if not read or not outcome.curve:
        return None
    last = Incumbent(at_s=outcome.elapsed_s, candidate=outcome.curve[-1].candidate, loss=outcome.curve[-1].loss)
    best = [
        {"min": at.at_s / 60, "value": at.loss if metric.lower_is_better else 1 / at.loss}
        for at in (*outcome.curve, last)
    ]
    title = "The best so far, by the minutes of the budget (mean of its launches; a second one may correct it)"
    x = alt.X("min:Q", title="minutes", scale=alt.Scale(domain=[0, max(outcome.budget_s, outcome.elapsed_s) / 60]))
    y = alt.Y("value:Q", title=metric.value, scale=alt.Scale(zero=False, padding=12))
    base = alt.Chart(title=title, width=2 * style.WIDTH, height=220)
    points = base.mark_point(filled=True, size=45, opacity=0.75).encode(
        x=x, y=y, tooltip=["trial:N", "what:N", alt.Tooltip("value:Q", format=".4g")],
        color=alt.Color("what:N", title=None, scale=alt.Scale(range=KINDS)),
    ).properties(data=style.values(read))  # fmt: skip
    line = base.mark_line(interpolate="step-after", color=style.ORANGE).encode(x=x, y=y)
    return line.properties(data=style.values(best)) + points


def _importance(weights: Mapping[str, float]) -> Any:
    import altair as alt

    if not weights:
        return None
    rows = [{"setting": name, "share": share} for name, share in weights.items()]
    return (
        alt.Chart(style.values(rows), title="What mattered: share of the spread", width=style.WIDTH - 80, height=240)
        .mark_bar(color=style.BLUE)
        .encode(
            y=alt.Y("setting:N", sort=None, title=None),
            x=alt.X("share:Q", title="explained by this setting alone", axis=alt.Axis(format="%")),
            tooltip=["setting:N", alt.Tooltip("share:Q", format=".1%")],
        )
    )


def _front(entries: Sequence[Entry], front: Sequence[Entry]) -> Any:
    import altair as alt

    best = {id(entry) for entry in front}
    rows = [
        {
            "trial": e.number, "rate": m["requests_per_s"], "ms": 1e3 * (m["ttft_s"] + m.get("tpot_s", 0.0)),
            "front": id(e) in best, "default": not e.candidate.configuration,
        }
        for e in entries
        if e.reading is not None and (m := e.reading.metrics) and "ttft_s" in m and "requests_per_s" in m
    ]  # fmt: skip
    if not rows:
        return None
    title = "Latency and throughput: the front, the default (square)"
    base = alt.Chart(style.values(rows), title=title, width=style.WIDTH, height=240).encode(
        x=alt.X("rate:Q", title="requests/s", scale=alt.Scale(zero=False, padding=12)),
        y=alt.Y("ms:Q", title="TTFT + TPOT, ms", scale=alt.Scale(zero=False, padding=12)),
        tooltip=["trial:N", alt.Tooltip("rate:Q", format=".4g"), alt.Tooltip("ms:Q", format=".4g")],
    )
    on_front = base.transform_filter("datum.front")
    shape = alt.condition("datum.default", alt.value("square"), alt.value("circle"))
    return (
        on_front.mark_line(color=style.ORANGE, interpolate="step-after").encode(order="rate:Q")
        + base.transform_filter("!datum.front")
        .mark_point(filled=True, size=55, color=style.GREY, opacity=0.7)
        .encode(shape=shape)
        + on_front.mark_point(filled=True, size=80, color=style.ORANGE, opacity=1).encode(shape=shape)
        + on_front.mark_text(dy=-12, color="#444").encode(text="trial:N")
    )
