"""The picture of one measurement: distributions of TTFT and ITL, concurrency over time, TTFT over prompt length."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from inferencebench.load.metrics import by_profile, gaps, latency_s, ttft_s
from inferencebench.load.model import RequestSample, Samples
from inferencebench.load.session import MeasureRecord
from inferencebench.plots import style

if TYPE_CHECKING:
    import altair as alt

_POINTS = 400
"""Most points of one distribution's line: half a million gaps would make a file of 50 MB and the same line."""
_SKEW = 20
"""A longest value of so many medians asks for a logarithmic axis."""
_LEAST_MS = 0.01
"""There, chunks that came together are drawn here."""
_TOKENS = "prompt tokens"
_STEPS = 2000
"""Most steps of one concurrency line."""


def measurement_chart(record: MeasureRecord, samples: Samples) -> Any:
    """Four panels; one colour per load. A panel without data is left out."""
    import altair as alt

    parts = by_profile(samples)
    names = list(parts)
    colour = alt.Color(
        "load:N",
        scale=alt.Scale(domain=names, range=list(style.SERIES)),
        legend=alt.Legend(title=None, orient="top", symbolOpacity=1) if len(names) > 1 else None,
    )
    good = {name: [r for r in part.requests if r.ok] for name, part in parts.items()}
    ttft = [row for name in names for row in _distribution(name, map(ttft_s, good[name]))]
    itl = [row for name, part in parts.items() for row in _distribution(name, _gaps(part))]
    panels = [
        _distribution_panel("TTFT: time to first token", ttft, colour),
        _distribution_panel("ITL: gaps between chunks", itl, colour),
        _concurrency_panel([row for name, part in parts.items() for row in in_flight(name, part.requests)], colour),
        _length_panel(good, colour),
    ]
    present = [panel for panel in panels if panel is not None]
    chart = alt.vconcat(*(alt.hconcat(*present[i : i + 2], spacing=48) for i in range(0, len(present), 2)), spacing=36)
    return style.finished(chart, f"{record.model} at {record.url}", _subtitle(record))


def _subtitle(record: MeasureRecord) -> list[str]:
    lines = [
        f"{record.source}; {record.succeeded} of {record.requests} requests succeeded; "
        f"{record.requests_per_s:.3g} requests/s, {record.output_tokens_per_s:.4g} output tokens/s"
    ]
    if not record.valid:
        lines.append("NOT VALID: " + "; ".join(record.invalid_reasons))
    return lines


def _gaps(part: Samples) -> list[float]:
    good = {request.id for request in part.requests if request.ok}
    return gaps([chunk for chunk in part.chunks if chunk.request in good])


def _distribution(load: str, seconds: Iterable[float | None]) -> list[dict[str, Any]]:
    """The empirical distribution function: share of values at or below each, thinned to its quantiles."""
    present = sorted(value for value in seconds if value is not None)
    n = len(present)
    chosen = sorted({round(i * (n - 1) / (_POINTS - 1)) for i in range(_POINTS)}) if n > _POINTS else range(n)
    return [{"load": load, "ms": present[i] * 1e3, "share": (i + 1) / n} for i in chosen]


def _distribution_panel(title: str, rows: list[dict[str, Any]], colour: "alt.Color") -> Any:
    import altair as alt

    if not rows:
        return None
    # A tail of stalls would leave the bulk a vertical line at the left.
    skewed = rows[-1]["ms"] > _SKEW * rows[len(rows) // 2]["ms"] > 0
    scale = alt.Scale(type="log") if skewed else alt.Scale(zero=False, nice=True)
    if skewed:
        rows = [row | {"ms": max(row["ms"], _LEAST_MS)} for row in rows]
    shares = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 0.9, 1])
    base = alt.Chart(style.values(rows), title=title, width=style.WIDTH, height=style.HEIGHT).encode(
        x=alt.X("ms:Q", title="ms", scale=scale),
        y=alt.Y("share:Q", title="share at or below", axis=shares, scale=alt.Scale(domain=[0, 1])),
        color=colour,
        tooltip=["load:N", alt.Tooltip("ms:Q", format=".2f"), alt.Tooltip("share:Q", format=".1%")],
    )
    line = base.mark_line(interpolate="step-after", strokeWidth=2)
    return line + base.mark_circle(size=28, opacity=1) if len(rows) <= 60 else line


def in_flight(load: str, requests: list[RequestSample]) -> list[dict[str, Any]]:
    """Requests in flight after every send and end, thinned; seconds after the load's start."""
    steps = [(r.sent_s, 1) for r in requests if r.sent_s is not None and r.closed_s is not None]
    steps += [(r.closed_s, -1) for r in requests if r.sent_s is not None and r.closed_s is not None]
    rows, now = [], 0
    for at, step in sorted(steps):
        now += step
        rows.append({"load": load, "s": at, "requests": now})
    every = max(1, len(rows) // _STEPS)
    return [{"load": load, "s": 0.0, "requests": 0}, *rows[:-1:every], *rows[-1:]]


def _concurrency_panel(rows: list[dict[str, Any]], colour: "alt.Color") -> Any:
    import altair as alt

    base = alt.Chart(style.values(rows), title="Requests in flight", width=style.WIDTH, height=style.HEIGHT).encode(
        x=alt.X("s:Q", title="s after the load's start"),
        y=alt.Y("requests:Q", title="requests", stack=None, axis=alt.Axis(tickMinStep=1)),
        color=colour,
    )
    return base.mark_area(interpolate="step-after", opacity=0.18, line=False) + base.mark_line(
        interpolate="step-after", strokeWidth=1.5
    )


def _lengths(load: str, requests: list[RequestSample], unit: str) -> list[dict[str, Any]]:
    rows = []
    for request in requests:
        length = _prompt_tokens(request) if unit == _TOKENS else request.body_bytes
        first, whole = ttft_s(request), latency_s(request)
        if length and first is not None and whole is not None:
            rows.append({"load": load, "length": length, "ms": first * 1e3, "latency_s": whole, "id": request.id})
    return rows


def _prompt_tokens(request: RequestSample) -> int:
    return request.prompt_tokens or request.usage_prompt_tokens or 0


def _length_panel(good: dict[str, list[RequestSample]], colour: "alt.Color") -> Any:
    import altair as alt

    unit = _TOKENS if any(_prompt_tokens(r) for requests in good.values() for r in requests) else "bytes of the request"
    rows = [row for name, requests in good.items() for row in _lengths(name, requests, unit)]
    if not rows:
        return None
    return (
        alt.Chart(
            style.values(rows),
            title="Latency to the first token over prompt length",
            width=style.WIDTH,
            height=style.HEIGHT,
        )
        .mark_circle(size=45, opacity=0.7)
        .encode(
            x=alt.X("length:Q", title=unit, scale=alt.Scale(zero=False, nice=True, padding=8)),
            y=alt.Y("ms:Q", title="TTFT, ms", scale=alt.Scale(zero=True)),
            color=colour,
            tooltip=["id:N", "length:Q", alt.Tooltip("ms:Q", format=".2f"), alt.Tooltip("latency_s:Q", format=".3f")],
        )
    )
