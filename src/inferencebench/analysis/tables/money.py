"""What runs cost, and what a unit of speedup costs."""

from collections.abc import Iterable, Sequence

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
from inferencebench.analysis.tables.model import GPU_USD_PER_H, Column, Family, Made, Options, Row, Value
from inferencebench.run.machine import counted
from inferencebench.run.record import Outcome

HOUR_S = 3600.0


def _devices(run: Run) -> int:
    return run.spec.suite.hardware.devices if run.spec else 1


def reserved_h(run: Run) -> float:
    """Device hours of the session: its budget, which is reserved whole, on all the suite's devices.

    What the paper prices: 12 runs of 2 h at $1.99 are its $47.76 (Table 12). Measuring and judging are in `used_h`."""
    seconds = run.budget_s if run.budget_s is not None else run.result.cost.solve_s
    return seconds / HOUR_S * _devices(run)


def used_h(run: Run) -> float:
    """Device hours from the session's begin to the last gate, as they took."""
    return run.result.cost.total_s / HOUR_S * _devices(run)


def usd_per_h(run: Run, options: Options) -> float | None:
    """Price of a device hour: what was given, else the paper's for a GPU and none for a CPU machine."""
    if options.gpu_usd_per_h is not None:
        return options.gpu_usd_per_h
    return GPU_USD_PER_H if run.spec is not None and run.spec.suite.hardware.kind == "cuda" else None


def _usd(runs: Iterable[Run], options: Options) -> float | None:
    """The reserved device hours of all of them, USD; None where one has no price."""
    prices = [(reserved_h(run), usd_per_h(run, options)) for run in runs]
    known = [hours * price for hours, price in prices if price is not None]
    return sum(known) if len(known) == len(prices) else None


def _price_notes(runs: Sequence[Run], options: Options) -> list[str]:
    """The price and what it is paid for, and what has none."""
    count = sum(run.result.cost.api_usd is None for run in runs)
    unpriced = sum(usd_per_h(run, options) is None for run in runs)
    notes = []
    if unpriced < len(runs):
        price = GPU_USD_PER_H if options.gpu_usd_per_h is None else options.gpu_usd_per_h
        notes.append(f"reserved device hours (each session's whole budget) at {price:.2f} USD per hour")
    if unpriced:
        notes.append(f"{_lack(unpriced)} price ({GPU_USD_PER_H} USD is for a GPU): give one by --gpu-usd-per-h")
    if count:
        notes.append(f"{_lack(count)} API cost (no model was called, or its price is unknown): counted as 0")
    return notes


def _lack(runs: int) -> str:
    """`1 run has no`, `2 runs have no`."""
    return f"{counted(runs, 'run')} {'has' if runs == 1 else 'have'} no"


def cost(runs: Runs, options: Options) -> Made:
    """USD over all runs of an agent, repeats left out: model calls, plus the device hours reserved, which are the whole
    budget of each session, at the given price per hour. Device hours used: session, measuring, quality and audit as
    they took; nothing here prices them."""
    kept, notes = contestants(runs.runs, options)
    lines = groups(kept)
    rows = []
    for line in lines:
        api = sum(run.result.cost.api_usd or 0.0 for run in line.runs)
        gpu = _usd(line.runs, options)
        behind = ids(line.runs)
        rows.append(
            Row(
                values={
                    "suite": Value(value=line.suite),
                    "method": Value(value=line.label),
                    "runs": Value(value=len(line.runs), runs=behind),
                    "api": Value(value=api, runs=behind),
                    "reserved_h": Value(value=sum(map(reserved_h, line.runs)), runs=behind),
                    "gpu": Value(value=gpu, runs=behind),
                    "total": Value(value=None if gpu is None else api + gpu, runs=behind),
                    "device_h": Value(value=sum(map(used_h, line.runs)), runs=behind),
                }
            )
        )
    columns = [
        *suite_column(lines),
        Column(key="method", title="method"),
        Column(key="runs", title="runs"),
        Column(key="api", title="API", unit="USD"),
        Column(key="reserved_h", title="devices reserved", unit="h"),
        Column(key="gpu", title="devices reserved", unit="USD"),
        Column(key="total", title="API + reserved", unit="USD"),
        Column(key="device_h", title="devices used", unit="h"),
    ]
    return Made(columns, rows, [*notes, *_price_notes(kept, options)])


def cost_per_speedup(runs: Runs, options: Options) -> Made:
    """USD per unit of speedup: the summed cost of a cell's runs (model calls and reserved device hours, as in `cost`)
    over its mean speedup; a hole where no run passed (settled point 24), or the devices have no price."""
    kept, notes = contestants(runs.runs, options)
    lines = groups(kept)
    score = scoring(options.regression)
    scenarios = scenarios_of(lines)
    rows = []
    for line in lines:
        values = {"suite": Value(value=line.suite), "method": Value(value=line.label)}
        for scenario, cell in line.cells.items():
            mean = mean_cell(cell, score)
            gpu = _usd(cell, options)
            if mean and gpu is not None and any(run.result.outcome is Outcome.PASSED for run in cell):
                api = sum(run.result.cost.api_usd or 0.0 for run in cell)
                values[scenario.value] = Value(value=(api + gpu) / mean, runs=ids(cell))
        rows.append(Row(values=values))
    columns = [*suite_column(lines), Column(key="method", title="method"), *scenario_columns(scenarios, "USD/x")]
    return Made(columns, rows, [*notes, *_price_notes(kept, options)])


FAMILIES = (
    Family("cost", "What the runs cost", "Table 12", cost),
    Family("cost-per-speedup", "Cost of a unit of speedup", "Table 13", cost_per_speedup),
)
