"""Measurements and sweeps as tables for people."""

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from inferencebench.load.model import Distribution
    from inferencebench.load.session import MeasureRecord
    from inferencebench.load.sweep import SweepRecord


def show_measurement(console: Console, record: "MeasureRecord") -> None:
    """A measurement for people."""
    console.print(measurement_table(record))
    for line in measurement_lines(record):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def measurement_table(record: "MeasureRecord") -> Table:
    """Latencies in milliseconds."""
    table = Table("", "mean", "p50", "p90", "p99", box=SIMPLE_HEAD, title_justify="left")
    table.title = f"{record.model} at {record.url}, {record.source}"
    for column in table.columns[1:]:
        column.justify = "right"
    for name, spread in (
        ("TTFT, ms", record.ttft_s),
        ("  from the schedule", record.ttft_scheduled_s),
        ("ITL, ms", record.itl_s),
        ("TPOT, ms", record.tpot_s),
        ("request latency, ms", record.latency_s),
        ("  from the schedule", record.latency_scheduled_s),
        ("client's send lag, ms", record.send_lag_s),
    ):
        table.add_row(name, *_milliseconds(spread))
    return table


def _milliseconds(spread: "Distribution | None") -> list[str]:
    if spread is None:
        return ["–"] * 4
    return [f"{value * 1e3:.2f}" for value in (spread.mean, spread.p50, spread.p90, spread.p99)]


def measurement_lines(record: "MeasureRecord") -> list[str]:
    """What stands below the table: throughput, worth, and how far the client itself can be trusted."""
    calibration = record.calibration
    lines = [
        f"{record.requests_per_s:.4g} requests/s, {record.output_tokens_per_s:.4g} output tokens/s; "
        f"{record.succeeded} of {record.requests} requests succeeded",
        f"in flight {record.concurrency_mean:.3g} on average, {record.concurrency_max} at most; "
        f"{record.coalesced_share:.1%} of chunks came together with the one before",
        f"tokens counted by {record.tokens_counted_by}; client {record.client}",
        "client not calibrated on this machine: inferencebench doctor --calibrate"
        if calibration is None
        else f"client's own error here: TTFT {calibration.ttft_error_mean_s * 1e6:.0f} us (p99 "
        f"{calibration.ttft_error_p99_s * 1e6:.0f} us), chunk p99 {calibration.chunk_lateness_p99_s * 1e6:.0f} us",
    ]
    return [*lines[:1], *_worth(record), *lines[1:]]


def _worth(record: "MeasureRecord") -> list[str]:
    """Goodput and cost, where they were asked for."""
    lines = []
    if (goodput := record.goodput) is not None:
        bounds = ((name, getattr(goodput.slo, f"{name}_s")) for name in ("ttft", "tpot", "latency"))
        kept = ", ".join(f"{name} {bound * 1e3:g} ms" for name, bound in bounds if bound is not None)
        lines.append(f"goodput {goodput.requests_per_s:.4g} requests/s: {goodput.share:.1%} of requests kept {kept}")
    if record.cost is not None:
        pairs = (
            (record.cost.usd_per_million_output_tokens, "output tokens"),
            (record.cost.usd_per_million_tokens, "prompt and output tokens"),
        )
        shown = ", ".join(f"${value:.4g} per million {name}" for value, name in pairs if value is not None)
        lines.append(f"{shown or 'no tokens to pay for'}, at ${record.cost.usd_per_hour:.2f} an hour")
    return lines


def sweep_table(record: "SweepRecord") -> Table:
    """One row per load; the knee is marked."""
    first = "in flight" if record.over == "concurrency" else "requests/s offered"
    table = Table(box=SIMPLE_HEAD, title_justify="left")
    table.title = f"{record.model} at {record.url}, {record.source}"
    goodput = any(point.goodput is not None for point in record.points)
    latencies = ("TTFT p50, ms", "TTFT p99, ms", "TPOT p50, ms", "TPOT p99, ms", "latency mean, ms")
    for column in (first, "requests/s", "tokens/s", *latencies, *(["goodput/s"] if goodput else []), ""):
        table.add_column(column, justify="right")
    for index, (load, point) in enumerate(zip(record.loads, record.points, strict=True)):
        ttft, tpot = _milliseconds(point.ttft_s), _milliseconds(point.tpot_s)
        latency = point.latency_scheduled_s if record.over == "rate_per_s" else point.latency_s
        cells = [ttft[1], ttft[3], tpot[1], tpot[3], _milliseconds(latency)[0]]
        if goodput:
            cells.append("–" if point.goodput is None else f"{point.goodput.requests_per_s:.4g}")
        mark = "knee" if index == record.knee else "" if point.valid else "not valid"
        table.add_row(f"{load:g}", f"{point.requests_per_s:.4g}", f"{point.output_tokens_per_s:.4g}", *cells, mark)
    table.caption = "knee: greatest throughput / latency"
    if record.knee is not None and not record.knee_reached:
        table.caption += "; it is the last valid load, so the true one may lie beyond"
    return table
