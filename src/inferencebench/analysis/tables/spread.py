"""How stable a standing is over the seeds, and what was run: volatility of quartiles, runtime parameters."""

from statistics import fmean, median

from inferencebench.analysis import statistics
from inferencebench.analysis.runs import Runs
from inferencebench.analysis.tables.groups import LETTERS, contestants, groups, ids, scenarios_of, scoring, suite_column
from inferencebench.analysis.tables.model import Column, Family, Made, Options, Row, Value
from inferencebench.errors import UserError
from inferencebench.suites.load import load
from inferencebench.suites.model import Suite
from inferencebench.suites.table7 import Table7Row, table7


def volatility(runs: Runs, options: Options) -> Made:
    """Per scenario and seed pair every agent's quartile (1 best; ties share the mean of their positions' quartiles),
    then the range of each agent's quartiles over the seeds. Buckets: stable up to 0.25, adjacent up to 1.25, two
    quartiles up to 2.25, extreme above. Agents without a score on some seed pair are left out of that scenario."""
    kept, notes = contestants(runs.runs, options)
    lines = groups(kept)
    score = scoring(options.regression)
    rows = []
    for suite in dict.fromkeys(line.suite for line in lines):
        own = [line for line in lines if line.suite == suite]
        for scenario in scenarios_of(own):
            cells = {
                line: {r.pair: score(r) for r in line.cells.get(scenario, ()) if r.result.outcome.scored}
                for line in own
            }
            pairs = {pair for cell in cells.values() for pair in cell}
            whole = {line: cell for line, cell in cells.items() if len(cell) == len(pairs)}
            if len(pairs) < 2 or len(whole) < 2:
                continue
            standing = [statistics.fractional_quartiles({k: c[pair] for k, c in whole.items()}) for pair in pairs]
            ranges = {line: max(q[line] for q in standing) - min(q[line] for q in standing) for line in whole}
            behind = {line: ids(line.cells[scenario]) for line in whole}
            values = {
                "suite": Value(value=suite),
                "scenario": Value(value=f"{LETTERS[scenario]} {scenario.value}"),
                "mean": Value(value=fmean(ranges.values()), runs=tuple(i for b in behind.values() for i in b)),
                "median": Value(value=median(ranges.values())),
                "agents": Value(value=len(whole)),
            }
            for name, _ in statistics.BUCKETS:
                inside = [line for line, size in ranges.items() if statistics.bucket(size) == name]
                values[name] = Value(value=len(inside), runs=tuple(i for line in inside for i in behind[line]))
            rows.append(Row(values=values))
    columns = [
        *suite_column(lines),
        Column(key="scenario", title="scenario"),
        Column(key="mean", title="mean range"),
        Column(key="median", title="median range"),
        *(Column(key=name, title=name.replace("_", " ")) for name, _ in statistics.BUCKETS),
        Column(key="agents", title="agents"),
    ]
    if not rows:
        notes = [*notes, "needs two agents with scores on the same two seed pairs"]
    return Made(columns, rows, notes)


def parameters(runs: Runs, options: Options) -> Made:
    """Runtime parameters of the suites behind the runs, or of the suite named by --suite: largest prompt and output in
    tokens (uniform from range_ratio times it), requests, and the load profiles."""
    suites: dict[str, Suite] = {}
    for run in runs.runs:
        if run.result.suite not in suites and run.spec is not None:
            suites[run.result.suite] = run.spec.suite
    if not suites and options.suite is not None:
        suites[options.suite] = load(options.suite)
    if not suites:
        raise UserError("parameters: no readable run; name campaign directories, or a suite by --suite h100-mistral-7b")
    rows = [_parameters(suite, row) for suite in suites.values() for row in table7(suite)]
    columns = [
        Column(key="suite", title="suite"),
        Column(key="scenario", title="scenario"),
        Column(key="L_in", title="L_in", unit="tokens"),
        Column(key="L_out", title="L_out", unit="tokens"),
        Column(key="range_ratio", title="range ratio", digits=2),
        Column(key="requests", title="requests"),
        Column(key="max_new", title="max new", unit="tokens"),
        Column(key="profiles", title="profiles"),
    ]
    return Made(columns, rows)


def _parameters(suite: Suite, row: Table7Row) -> Row:
    profiles = [
        f"{p.name} {f'{p.rate_per_s:g}/s ' if p.rate_per_s else ''}concurrency {p.concurrency}" for p in row.profiles
    ]
    values: dict[str, float | int | str] = {
        "suite": suite.name,
        "scenario": row.scenario,
        "L_in": row.L_in,
        "L_out": row.L_out,
        "range_ratio": suite.range_ratio,
        "requests": row.requests,
        "max_new": row.max_new,
        "profiles": "; ".join(profiles),
    }
    return Row(values={key: Value(value=value) for key, value in values.items()})


FAMILIES = (
    Family("volatility", "Quartiles over the seeds", "Table 10", volatility),
    Family("parameters", "Runtime parameters", "Table 7", parameters),
)
