"""The picture of a sweep: the latency-throughput curve with its knee, TTFT and TPOT over the load."""

from typing import Any

from inferencebench.load.model import Distribution
from inferencebench.load.sweep import SweepRecord, latency_mean_s
from inferencebench.plots import style

UNITS = {"concurrency": "requests in flight", "rate_per_s": "requests/s offered"}


def sweep_chart(record: SweepRecord) -> Any:
    """Three panels; the knee is ringed, points that are not valid are hollow."""
    import altair as alt

    rows = _rows(record)
    chart = alt.vconcat(
        _curve(record, rows),
        alt.hconcat(
            _over_load(record, "TTFT: time to first token", "ttft", rows),
            _over_load(record, "TPOT: time per output token", "tpot", rows),
            spacing=48,
        ),
        spacing=36,
    )
    return style.finished(chart, f"{record.model} at {record.url}", [record.source, _verdict(record)])


def _verdict(record: SweepRecord) -> str:
    if record.knee is None:
        return "no valid point, so no knee"
    load = f"{record.loads[record.knee]:g} {UNITS[record.over]}"
    beyond = "" if record.knee_reached else ", the largest load measured: the true one may lie beyond"
    return f"knee (greatest throughput / latency): {load}{beyond}"


def _rows(record: SweepRecord) -> list[dict[str, Any]]:
    rows = []
    for index, (load, point) in enumerate(zip(record.loads, record.points, strict=True)):
        latency = latency_mean_s(point, record.over)
        if latency is None:
            continue
        row = {"load": load, "label": f"{load:g}", "valid": point.valid, "knee": index == record.knee}
        row |= {"throughput": point.output_tokens_per_s, "latency": latency}
        rows.append(row | _spread("ttft", point.ttft_s) | _spread("tpot", point.tpot_s))
    return rows


def _spread(name: str, spread: Distribution | None) -> dict[str, float]:
    if spread is None:
        return {}
    return {f"{name}_{key}": getattr(spread, key) * 1e3 for key in ("p50", "p90", "p99")}


def _curve(record: SweepRecord, rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    base = alt.Chart(
        style.values(rows), title="Latency over throughput", width=2 * style.WIDTH + 110, height=300
    ).encode(
        x=alt.X("throughput:Q", title="output tokens/s", scale=alt.Scale(zero=True)),
        y=alt.Y("latency:Q", title="mean request latency, s", scale=alt.Scale(zero=True)),
        order="load:Q",
        tooltip=["load:Q", alt.Tooltip("throughput:Q", format=".4g"), alt.Tooltip("latency:Q", format=".3g")],
    )
    hollow = alt.condition("datum.valid", alt.value(style.BLUE), alt.value("white"))
    knee = base.transform_filter("datum.knee")
    return (
        base.mark_line(color=style.BLUE, strokeWidth=2)
        + base.mark_point(filled=True, size=70, opacity=1, stroke=style.BLUE).encode(fill=hollow)
        + base.mark_text(dy=-14, color="#444").encode(text="label:N")
        + knee.mark_point(size=320, stroke=style.ORANGE, strokeWidth=2.5, filled=False, opacity=1)
        + knee.mark_text(dx=16, dy=14, align="left", color=style.ORANGE, fontWeight="bold").encode(
            text=alt.value(f"knee: {record.loads[record.knee or 0]:g} {UNITS[record.over]}")
        )
    )


def _over_load(record: SweepRecord, title: str, name: str, rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    long = [
        {"load": row["load"], "percentile": key, "ms": row[f"{name}_{key}"]}
        for row in rows
        for key in ("p50", "p90", "p99")
        if f"{name}_{key}" in row
    ]
    scale = alt.Scale(type="log", base=2) if record.over == "concurrency" else alt.Scale(zero=False)
    ticks = alt.Axis(values=list(record.loads), format="~g", labelOverlap=False)
    return (
        alt.Chart(style.values(long), title=title, width=style.WIDTH, height=style.HEIGHT)
        .mark_line(point=True, strokeWidth=2)
        .encode(
            x=alt.X("load:Q", title=UNITS[record.over], scale=scale, axis=ticks),
            y=alt.Y("ms:Q", title="ms", scale=alt.Scale(zero=True)),
            color=alt.Color(
                "percentile:N",
                scale=alt.Scale(domain=["p50", "p90", "p99"], range=[style.BLUE, style.ORANGE, style.RED]),
                legend=alt.Legend(title=None, orient="bottom"),
            ),
            tooltip=["percentile:N", "load:Q", alt.Tooltip("ms:Q", format=".3g")],
        )
    )
