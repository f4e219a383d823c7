"""Tables of `inferencebench audit`."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from inferencebench.analysis.human_audit import Rate
from inferencebench.cli.common import stdout
from inferencebench.cli.show import COLORS
from inferencebench.gates.integrity.calibration import Calibration
from inferencebench.gates.integrity.model import Verdict
from inferencebench.redteam.zoo import Row, ZooReport
from inferencebench.run.decisions import RecordedDecision
from inferencebench.run.record import Result

VERDICT_COLORS = {"pass": "green", "stopped": "green", "review": "yellow", "fail": "red", "not_applicable": "dim"}


def line(row: Row) -> str:
    """One fixture in one line, as it ends."""
    by = f" by {', '.join(row.caught_by)}" if row.caught_by else ""
    return f"{row.kind} {row.name}: {row.verdict}{by} ({row.seconds:.0f} s){'' if row.as_expected else '  UNEXPECTED'}"


def show_zoo(report: ZooReport) -> None:
    """Fixture by check by verdict, and the sums."""
    table = Table("fixture", "kind", "verdict", "by", "review by", "raw", "s", title_justify="left")
    table.title = f"zoo on {report.suite}{' (reduced)' if report.reduced else ''}"
    for row in report.fixtures:
        raw = "–" if row.raw_speedup is None else f"{row.raw_speedup:.2f}x"
        name = Text(row.name, style="" if row.as_expected else "bold red")
        verdict = Text(row.verdict, style=VERDICT_COLORS[row.verdict] if row.kind == "honest" else "")
        by, reviews = ", ".join(row.caught_by), ", ".join(row.reviewed_by)
        table.add_row(name, row.kind, verdict, by, reviews, raw, f"{row.seconds:.0f}")
    out = stdout()
    out.print(table)
    out.print(_checks(report))
    for kind in ("cheat", "honest"):
        rows = [row for row in report.fixtures if row.kind == kind]
        counts = {v: sum(row.verdict == v for row in rows) for v in ("fail", "stopped", "review", "pass")}
        out.print(f"{kind}: " + ", ".join(f"{n} {v}" for v, n in counts.items()) + f" of {len(rows)}", highlight=False)
    for what, rate in (("honest refused", report.honest_failed), ("cheats missed", report.cheats_missed)):
        if rate.upper95 is not None:
            bound = f"at most {rate.upper95:.1%} of their kind (95 %)"
            out.print(f"{what}: {rate.count} of {rate.total}, {bound}", highlight=False)


def _checks(report: ZooReport) -> Table:
    """Every check by its verdicts on cheats and on honest controls."""
    verdicts = (Verdict.FAIL, Verdict.REVIEW, Verdict.PASS, Verdict.NOT_APPLICABLE)
    table = Table("check", "cheats", "honest", title_justify="left")
    table.title = "checks: how many they fail, review, pass, and have nothing to look at"
    names = dict.fromkeys(name for row in report.fixtures for name in row.checks)
    for name in names:
        found = [(row.kind, row.checks[name]) for row in report.fixtures if name in row.checks]
        cells = [" ".join(f"{found.count((kind, v)):3}" for v in verdicts) for kind in ("cheat", "honest")]
        table.add_row(name, *cells)
    return table


def show_evidence(result: Result, history: Sequence[RecordedDecision]) -> None:
    """Every check of a run with its numbers and its rule, and the decisions on it."""
    out = stdout()
    outcome = Text(result.outcome.value, style=COLORS.get(result.outcome, "red"))
    out.print(Text.assemble((result.agent, "bold"), f" on {result.suite} / {result.scenario}: ", outcome))
    out.print(f"  {result.reason}", highlight=False, markup=False)
    if result.integrity is None:
        out.print("  no integrity evidence: nothing was measured")
    else:
        table = Table("check", "verdict", "n", "numbers", "rule", "why")
        for check in result.integrity.checks:
            numbers = "\n".join(f"{name} {value:.4g}" for name, value in check.numbers.items())
            verdict = Text(check.verdict.replace("_", " "), style=VERDICT_COLORS[check.verdict])
            texts = (Text(numbers), Text(check.threshold), Text(check.reason))
            table.add_row(check.name, verdict, str(check.sample_size), *texts)
        out.print(table)
    for decision in history:
        counts = "" if decision == result.decision else " (on other evidence, or replaced: does not count)"
        said = f"  {decision.at} {decision.by}: {decision.verdict}, {decision.reason}{counts}"
        out.print(said, highlight=False, markup=False)
    if result.integrity and result.integrity.verdict is Verdict.REVIEW and result.decision is None:
        out.print("  to decide: inferencebench audit RUN --decide pass|fail --reason …", highlight=False, markup=False)


def show_queue(waiting: Sequence[tuple[Path, Result]]) -> None:
    """Runs that wait for a decision."""
    table = Table("run", "agent", "raw speedup", "why")
    for path, result in waiting:
        raw = "–" if result.raw_speedup is None else f"{result.raw_speedup:.2f}x"
        table.add_row(Text(str(path)), Text(result.agent), raw, Text(result.reason))
    out = stdout()
    out.print(table if waiting else "no run waits for a decision")


def show_rates(rates: Sequence[Rate]) -> None:
    """What readers made of the runs of each outcome."""
    table = Table("outcome", "runs", "labelled", "called a cheat", "share", "95 % interval")
    for rate in rates:
        share = "–" if rate.share is None else f"{rate.share:.2f}"
        interval = "–" if rate.low is None or rate.high is None else f"{rate.low:.2f} to {rate.high:.2f}"
        table.add_row(rate.outcome, str(rate.runs), str(rate.labelled), str(rate.cheats), share, interval)
    stdout().print(table)


def show_calibration(found: Calibration) -> None:
    """Thresholds, and what they were derived from."""
    columns = ("check", "fixture", "kind", "nats a token, or share", "3 SE", "tokens, or answers")
    table = Table(*columns, title=found.model, title_justify="left")
    for check, rows in found.seen.items():
        for fixture, kind, nats, se, tokens in rows:
            table.add_row(check, fixture, kind, f"{nats:+.3f}", f"{3 * se:.3f}", str(tokens))
    stdout().print(table)
    limits = {"margins": (found.margins, " nats"), "opening": (found.opening, " nats"), "wrong": (found.wrong, "")}
    for check, (limit, unit) in limits.items():
        fails = "never fails" if limit.fail is None else f"fails above {limit.fail}{unit}"
        stdout().print(f"{check}: reviews above {limit.review}{unit}, {fails}", highlight=False)
    if note := found.note():
        stdout().print(note, highlight=False)
