"""What runs cost, and what a unit of speedup costs."""

from collections.abc import Sequence

from inferencebench.analysis.runs import Run, Runs
from inferencebench.analysis.tables.groups import (
    contestants,
    groups,
    ids,
    mean_cell,
    scenario_columns,
    scenarios_of,
    scoring,
    suite_column,
)
from inferencebench.analysis.tables.model import Column, Family, Made, Options, Row, Value
from inferencebench.run.record import Outcome

HOUR_S = 3600.0


def gpu_usd(run: Run, usd_per_h: float) -> float:
    """The device for the session: its budget, which is reserved whole, times the price of all the suite's devices.

    The published figure (12 runs of 2 h at $1.99 are $47.76); measuring and judging come on top of it in `device_h`."""
    seconds = run.budget_s if run.budget_s is not None else run.result.cost.solve_s
    devices = run.spec.suite.hardware.devices if run.spec else 1
    return seconds / HOUR_S * usd_per_h * devices


def run_usd(run: Run, usd_per_h: float) -> float:
    """Model calls and device of one run, USD."""
    return (run.result.cost.api_usd or 0.0) + gpu_usd(run, usd_per_h)


def _unpriced(runs: Sequence[Run]) -> list[str]:
    count = sum(run.result.cost.api_usd is None for run in runs)
    return (
        [f"{count} runs have no API cost (no model was called, or its price is unknown): counted as 0"] if count else []
    )


def cost(runs: Runs, options: Options) -> Made:
    """USD over all runs of an agent: model calls, plus the device for the whole budget of each session at the given
    price per device hour. Device hours used: session, measuring, quality and audit as they took."""
    kept, notes = contestants(runs.runs, options)
    lines = groups(kept)
    rows = []
    for line in lines:
        api = sum(run.result.cost.api_usd or 0.0 for run in line.runs)
        gpu = sum(gpu_usd(run, options.gpu_usd_per_h) for run in line.runs)
        behind = ids(line.runs)
        rows.append(
            Row(
                values={
                    "suite": Value(value=line.suite),
                    "method": Value(value=line.label),
                    "runs": Value(value=len(line.runs), runs=behind),
                    "api": Value(value=api, runs=behind),
                    "gpu": Value(value=gpu, runs=behind),
                    "total": Value(value=api + gpu, runs=behind),
                    "device_h": Value(value=sum(r.result.cost.total_s for r in line.runs) / HOUR_S, runs=behind),
                }
            )
        )
    columns = [
        *suite_column(lines),
        Column(key="method", title="method"),
        Column(key="runs", title="runs"),
        Column(key="api", title="API", unit="USD"),
        Column(key="gpu", title="device", unit="USD"),
        Column(key="total", title="total", unit="USD"),
        Column(key="device_h", title="device used", unit="h"),
    ]
    return Made(columns, rows, [*notes, *_unpriced(kept)])


def cost_per_speedup(runs: Runs, options: Options) -> Made:
    """USD per unit of speedup: the summed cost of a cell's runs over its mean speedup; a hole where no run passed
    (settled point 24)."""
    kept, notes = contestants(runs.runs, options)
    lines = groups(kept)
    score = scoring(options.regression)
    scenarios = scenarios_of(lines)
    rows = []
    for line in lines:
        values = {"suite": Value(value=line.suite), "method": Value(value=line.label)}
        for scenario, cell in line.cells.items():
            mean = mean_cell(cell, score)
            if mean and any(run.result.outcome is Outcome.PASSED for run in cell):
                spent = sum(run_usd(run, options.gpu_usd_per_h) for run in cell)
                values[scenario.value] = Value(value=spent / mean, runs=ids(cell))
        rows.append(Row(values=values))
    columns = [*suite_column(lines), Column(key="method", title="method"), *scenario_columns(scenarios, "USD/x")]
    return Made(columns, rows, [*notes, *_unpriced(kept)])


FAMILIES = (
    Family("cost", "What the runs cost", "Table 12", cost),
    Family("cost-per-speedup", "Cost of a unit of speedup", "Table 13", cost_per_speedup),
)
