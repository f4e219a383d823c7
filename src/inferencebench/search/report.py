"""The report of a search: what was tried, what it cost, what it is worth, and the command to copy."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from statistics import fmean

from inferencebench.files import write_atomic, write_json
from inferencebench.search import charts
from inferencebench.search.gate import surely_below
from inferencebench.search.journal import Entry
from inferencebench.search.outcome import Outcome
from inferencebench.search.trials import Reading, Status
from inferencebench.suites.model import Metric

NO_PICTURES = "<p>Not drawn: pip install 'inferencebench[plots]'</p>"
_STYLE = "body{font:14px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}"


def write(
    folder: Path, name: str, outcome: Outcome, entries: Sequence[Entry], launcher: str, metric: Metric, tau: float
) -> None:
    """Write `report.html`, `search.svg`, `search.html`, `trials.json` and `pareto.json` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "trials.json", [entry.model_dump(mode="json") for entry in entries])
    front = pareto(entries, tau)
    write_json(folder / "pareto.json", [entry.number for entry in front])
    drawn = charts.write(folder, name, outcome, entries, metric, importances(entries), front)
    write_atomic(folder / "report.html", _page(name, outcome, entries, launcher, metric, front, drawn))


def refused(entries: Sequence[Entry], tau: float) -> set[str]:
    """Keys of the candidates that a gate found surely below tau."""
    return {e.candidate.key for e in entries if e.reading and e.reading.gate and surely_below(e.reading.gate, tau)}


def pareto(entries: Sequence[Entry], tau: float) -> list[Entry]:
    """Trials that no other beats in both TTFT·TPOT latency (their sum) and requests per second, of candidates that no
    gate refused."""
    failed = refused(entries, tau)

    def point(entry: Entry) -> tuple[float, float] | None:
        metrics = entry.reading.metrics if entry.reading else {}
        if "requests_per_s" not in metrics or "ttft_s" not in metrics:
            return None
        return metrics["ttft_s"] + metrics.get("tpot_s", 0.0), metrics["requests_per_s"]

    points = [(e, at) for e in entries if e.candidate.key not in failed and (at := point(e)) is not None]
    return [
        entry
        for entry, (slow, rate) in points
        if not any(s <= slow and r >= rate and (s, r) != (slow, rate) for _, (s, r) in points)
    ]


def importances(entries: Sequence[Entry]) -> dict[str, float]:
    """Share of the spread of log losses that each setting's choice explains alone (between-group variance / total).

    One factor at a time over what was tried: a description of the search, not of the engine."""
    from math import log

    good = [(e.candidate, log(e.reading.loss)) for e in entries if e.reading and e.reading.loss]
    if len(good) < 2:
        return {}
    mean = fmean(loss for _, loss in good)
    total = sum((loss - mean) ** 2 for _, loss in good)
    names = sorted({name for candidate, _ in good for name in candidate.configuration})
    shares: dict[str, float] = {}
    for name in names:
        groups: dict[object, list[float]] = {}
        for candidate, loss in good:
            groups.setdefault(candidate.configuration.get(name), []).append(loss)
        between = sum(len(g) * (fmean(g) - mean) ** 2 for g in groups.values())
        shares[name] = between / total if total else 0.0
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _page(
    name: str,
    outcome: Outcome,
    entries: Sequence[Entry],
    launcher: str,
    metric: Metric,
    front: Sequence[Entry],
    drawn: str | None,
) -> str:
    best = {entry.number for entry in front}
    rows = "".join(_row(entry, metric, entry.number in best) for entry in entries)
    weights = "".join(f"<tr><td>{escape(n)}<td>{share:.0%}" for n, share in importances(entries).items())
    pruned = "".join(f"<tr><td>{escape(source)}<td>{count}" for source, count in outcome.pruned.items())
    return (
        f"<!doctype html><meta charset=utf-8><title>{escape(name)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(name)}</h1><p>{escape(outcome.reason)}.</p><h2>Budget</h2>{_budget(outcome)}<h2>Launch</h2>"
        f"<pre>{escape(launcher)}</pre><h2>Pictures</h2>{drawn or NO_PICTURES}"
        f"<h2>Trials</h2><table><tr><th>#<th>kind<th>engine<th>settings<th>{metric}"
        "<th>accuracy ratio<th>repetition<th>tokens per step"
        f"<th>seconds<th>how it ended{rows}</table><p>* on the Pareto front of latency and rate. Repetition: share of "
        "a reply's word 4-grams that had been in it before. Forced lengths drive a text into loops, which n-gram "
        "speculation guesses well: where tokens per step are above 1, a high share says that the gain is this "
        "text's.</p>"
        f"<h2>What mattered</h2><table>{weights}</table><h2>What was pruned</h2>"
        f"<table><tr><th>rule<th>proposals changed before their launch{pruned}</table>\n"
    )


def _budget(outcome: Outcome) -> str:
    parts = {
        "launching": outcome.launch_s,
        "measuring": outcome.measure_s,
        "quality questions": outcome.gate_s,
        "all else (proposals, ends of servers)": outcome.other_s,
    }
    share = 100 / outcome.budget_s
    rows = "".join(f"<tr><td>{what}<td>{s:.0f} s<td>{share * s:.0f} %" for what, s in parts.items())
    return (
        f"<p>{outcome.trials} trials in {outcome.elapsed_s:.0f} of {outcome.budget_s:.0f} s; all of it counts. "
        f"{outcome.crash_s:.0f} s went on trials that did not serve, {outcome.confirm_s:.0f} s on confirmations.</p>"
        f"<table>{rows}</table>"
    )


def _share(reading: Reading, name: str) -> str:
    value = reading.metrics.get(name)
    return "" if value is None else f"{value:.2f}"


def _row(entry: Entry, metric: Metric, best: bool) -> str:
    reading = entry.reading
    assert reading is not None
    value = reading.metrics.get(metric.value)
    settings = " ".join(f"{k}={v}" for k, v in entry.candidate.configuration.items()) or "default"
    ratio = f"{reading.gate.ratio:.3f}" if reading.gate else ""
    ended = "ok" if reading.status is Status.OK else f"{reading.status}: {reading.reason[:300]}"
    cells = (
        f"{entry.number}{'*' if best else ''}", entry.kind, entry.candidate.engine, settings,
        "" if value is None else f"{value:.5g}", ratio, _share(reading, "repetition_share"),
        _share(reading, "tokens_per_step"), f"{reading.seconds:.1f}", ended,
    )  # fmt: skip
    return "<tr>" + "".join(f"<td>{escape(str(cell))}" for cell in cells)
