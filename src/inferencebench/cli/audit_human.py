"""`inferencebench audit --sample` and `--labels`: a human audit of campaigns, drawn and added up."""

import shlex
from pathlib import Path

from inferencebench.analysis import human_audit
from inferencebench.analysis.collect import collect, none_finished
from inferencebench.cli import audit_show
from inferencebench.cli.common import notes, print_json, stdout


def sample(folders: list[Path], size: int, seed: int, sheet: Path, *, blind: bool, json: bool) -> None:
    """Write a sheet of runs for a reader, and its key; say how to go on."""
    found = collect(folders)
    notes(found.skipped)
    chosen = human_audit.draw(found.results, size, seed)
    key = human_audit.write_sheet(sheet, chosen, blind=blind)
    if json:
        print_json({"sheet": str(sheet), "key": str(key), "runs": len(chosen), "blind": blind})
        return
    then = shlex.join(["inferencebench", "audit", "--labels", "--sheet", str(sheet), *map(str, folders)])
    for line in (
        f"{sheet}: {len(chosen)} runs; fill in each label, then: {then}",
        f"{key}: what they are; keep it from the reader",
    ):
        stdout().print(line, highlight=False, markup=False, soft_wrap=True)


def labels(folders: list[Path], sheet: Path, *, json: bool) -> None:
    """Rates and intervals from a sheet that was filled in."""
    found = collect(folders)
    notes(found.skipped)
    if not found.results:
        raise none_finished(folders)
    rates = human_audit.rates(sheet, found.results)
    if json:
        print_json({"rates": human_audit.rows_json(rates)})
    else:
        audit_show.show_rates(rates)
