"""`inferencebench audit --judge`: ask the judges about every run below some directories, and add up what they say."""

from pathlib import Path

from rich.table import Table
from rich.text import Text

from inferencebench.analysis.collect import collect
from inferencebench.cli.common import notes, print_json, stdout
from inferencebench.errors import UserError
from inferencebench.gates.judge.agreement import PanelSummary, summarize
from inferencebench.gates.judge.model import Panel, PanelVerdict
from inferencebench.run import judges
from inferencebench.run.judge import write_result
from inferencebench.run.pipeline import rejudge

ZOO = "zoo:"


def judge_all(folders: list[Path], *, json: bool) -> None:
    """Ask about each measured run that has no word yet on its present evidence, judge it again, and store that."""
    found = collect(folders)
    notes(found.skipped)
    if not found.results:
        raise UserError(f"{', '.join(map(str, folders))}: no finished run; name run or campaign directories")
    rows = []
    for path, result in found.results:
        panel = _panel(path)
        rows.append((path, result.agent, panel))
        notes([f"{path}: {panel.verdict.value}: {panel.reason}"] if len(found.results) > 1 else [])
        if panel.verdict is PanelVerdict.NOT_ASKED:
            break  # without keys, nobody will answer for the others either
    summary = summarize([(panel, _is_cheat(agent)) for _, agent, panel in rows])
    if json:
        runs = [
            {"directory": str(path), "agent": agent, **panel.model_dump(mode="json")} for path, agent, panel in rows
        ]
        print_json({"runs": runs, "summary": summary.model_dump(mode="json")})
    elif len(rows) == 1:
        stdout().print(f"{rows[0][2].verdict.value}: {rows[0][2].reason}", highlight=False, markup=False)
    else:
        _show(summary)


def _panel(folder: Path) -> Panel:
    """The judges' word on a run as it is now: what was said before, or a new answer."""
    integrity = rejudge(folder, None).integrity
    known = judges.newest(folder, integrity) if integrity else None
    panel = known or judges.ask(folder, integrity)
    if known is None and panel.verdict is not PanelVerdict.NOT_ASKED:
        write_result(folder, rejudge(folder, None))
    return panel


def _is_cheat(agent: str) -> bool | None:
    """Of a fixture of the zoo, what it is; None for anybody else."""
    if not agent.startswith(ZOO):
        return None
    from inferencebench.redteam.model import load

    try:
        return load(agent.removeprefix(ZOO)).kind == "cheat"
    except UserError:
        return None


def _show(summary: PanelSummary) -> None:
    table = Table("judge", "asked", "answered", "flagged", "unverified quotes", "sensitivity", "specificity")
    for judge in summary.judges:
        rates = ["–" if rate is None else f"{rate:.2f}" for rate in (judge.sensitivity, judge.specificity)]
        counts = map(str, (judge.asked, judge.answered, judge.flagged, judge.unverified_quotes))
        table.add_row(Text(judge.judge), *counts, *rates)
    out = stdout()
    out.print(table)
    if summary.kappa is not None and summary.kappa_ci95 is not None:
        low, high = summary.kappa_ci95
        said = f"kappa {summary.kappa:.2f} (95 % interval {low:.2f} to {high:.2f}) over {summary.kappa_runs} runs"
        out.print(said, highlight=False)
    else:
        out.print("kappa: needs two judges that answered about one run", highlight=False)
