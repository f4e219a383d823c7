"""Tables of results for the terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from rich.table import Table
from rich.text import Text

from inferencebench.analysis.leaderboard import AgentRow, Board, Cell
from inferencebench.cli.common import stdout
from inferencebench.run.record import Outcome, Result
from inferencebench.suites.model import Metric, ScenarioName

UNITS = {Metric.TTFT: ("TTFT", "ms", 1e3), Metric.TPOT: ("TPOT", "ms", 1e3)}
COLORS = {Outcome.PASSED: "green", Outcome.REVIEW_PENDING: "yellow"}


def native(metric: str, value: float | None) -> str:
    """A primary metric with its unit."""
    if value is None:
        return "–"
    name, unit, factor = UNITS.get(Metric(metric), ("", "", 1.0))
    if name:
        return f"{value * factor:.1f} {unit}"
    return f"{value:.3f} req/s" if Metric(metric) is Metric.REQUESTS_PER_S else f"{value:.3f}"


def show_result(result: Result, directory: Path) -> None:
    """One run in a few lines, ending with where its record is."""
    out = stdout()
    color = COLORS.get(result.outcome, "red")
    out.print(
        Text.assemble(
            (result.agent, "bold"), f" on {result.suite} / {result.scenario}: ", (result.outcome.value, color)
        ),
        highlight=False,
    )
    out.print(f"  {result.reason}", highlight=False, markup=False)
    ratio = "–" if result.raw_speedup is None else f"{result.raw_speedup:.2f}x raw"
    if result.raw_speedup_ci95:
        ratio += f", 95 % interval {result.raw_speedup_ci95[0]:.2f}–{result.raw_speedup_ci95[1]:.2f}"
    out.print(f"  speedup [bold]{result.speedup:.2f}x[/] ({ratio})", highlight=False)
    metric = result.metric
    out.print(
        f"  {metric.name.value}: {native(metric.name, metric.value)}, baseline {native(metric.name, metric.baseline)}",
        highlight=False,
    )
    if (quality := result.quality) and quality.agreement is not None:
        out.print(
            f"  quality: not judged on random weights; agreement with the reference {quality.agreement:.3f}",
            highlight=False,
        )
    elif quality:
        out.print(f"  quality: {quality.correct} of {quality.total} correct", highlight=False)
    if not result.ranked:
        out.print("  [yellow]not ranked[/]: unverified sandbox, shared device, or an outcome that is not scored")
    out.print(f"  record: {directory}", highlight=False, markup=False)


def show_board(board: Board, notes: Mapping[str, Sequence[str]] = MappingProxyType({})) -> None:
    """The leaderboard: one table per suite, unranked rows below the line, then the suite's `notes`."""
    for suite in dict.fromkeys(row.suite for row in board.agents):
        rows = [row for row in board.agents if row.suite == suite]
        cells = {(c.agent, c.condition, c.scenario): c for c in board.cells if c.suite == suite}
        scenarios = [s for s in ScenarioName if any(key[2] is s for key in cells)]
        table = Table(title=Text(f"{suite}: speedup over the PyTorch baseline (mean ± SEM)"), title_justify="left")
        table.add_column("#", justify="right")
        table.add_column("agent", overflow="fold")
        table.add_column("aggregate", justify="right")
        for scenario in scenarios:
            table.add_column(scenario.value, justify="right")
        table.add_column("outcomes", overflow="fold")
        for number, row in enumerate(rows):
            last_ranked = row.rank is not None and number + 1 < len(rows) and rows[number + 1].rank is None
            own = [cells.get((row.agent, row.condition, s)) for s in scenarios]
            table.add_row(*_line(row, own), end_section=last_ranked)
        stdout().print(table)
        for note in notes.get(suite, ()):
            stdout().print(f"* {note}", highlight=False, markup=False, soft_wrap=True)


def _line(row: AgentRow, cells: list[Cell | None]) -> list[str | Text]:
    """One row; the name as plain text, since an agent's may look like markup."""
    name = row.agent if row.condition == "default" else f"{row.agent} ({row.condition})"
    counts: dict[str, int] = {}
    for cell in cells:
        for outcome, n in (cell.outcomes if cell else {}).items():
            counts[outcome] = counts.get(outcome, 0) + n
    outcomes = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))
    aggregate = _with_sem(row.aggregate, row.aggregate_sem)
    return [str(row.rank or "–"), Text(name), aggregate, *(_cell(c) for c in cells), outcomes]


def _cell(cell: Cell | None) -> str:
    """The scored speedup; below it the native unit, and the raw ratio where the score is another."""
    if cell is None:
        return ""
    below = native(cell.metric, cell.value_mean)
    raw, scored = cell.raw_speedup_mean, cell.speedup_mean
    if raw is not None and scored is not None and abs(raw - scored) > 0.005:
        below += f", {raw:.2f}x raw"
    return f"{_with_sem(scored, cell.speedup_sem)}\n[dim]{below}[/]"


def _with_sem(mean: float | None, sem: float | None) -> str:
    if mean is None:
        return "–"
    return f"{mean:.2f}x" if sem is None else f"{mean:.2f} ± {sem:.2f}x"
