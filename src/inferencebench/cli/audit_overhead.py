"""`inferencebench audit --overhead SUITE [RUN …]`: what the gate costs, computed for a suite and measured in runs."""

from pathlib import Path

from pydantic import ValidationError
from rich.table import Table
from rich.text import Text

from inferencebench.cli.common import notes, print_json, stdout
from inferencebench.errors import UserError
from inferencebench.gates.integrity.overhead import Overhead, computed, measured
from inferencebench.run import stored
from inferencebench.run.phases import finished_seconds
from inferencebench.run.record import Measured
from inferencebench.run.spec import RunSpec
from inferencebench.suites.load import load
from inferencebench.workload.requests import read_requests

MOST_REQUESTS, MOST_TIME = 80, 0.15
"""What a scored run at paper scale may cost more."""
PAPER_SCALE = 32
"""Timed requests of a scenario; with fewer, even one probe is a large share."""


def overhead(suite: str, folders: list[Path], *, json: bool) -> None:
    """Print the table, and a line for each scenario of the suite that costs too much."""
    rows = computed(load(suite))
    seen = [_measured(folder) for folder in folders]
    if json:
        print_json({"computed": [r.model_dump() for r in rows], "measured": [r.model_dump() for r in seen]})
    else:
        _show("computed", rows)
        if seen:
            _show("measured", seen)
    notes([f"{r.what}: more than {MOST_REQUESTS} probes or {MOST_TIME:.0%} of the time" for r in rows if _much(r)])


def _much(row: Overhead) -> bool:
    return row.requests >= PAPER_SCALE and (row.probes > MOST_REQUESTS or row.time_share > MOST_TIME)


def _measured(folder: Path) -> Overhead:
    try:
        RunSpec.model_validate_json((folder / "spec.json").read_bytes())
        planned = read_requests(folder / "prepare" / "eval.jsonl")
    except (OSError, ValidationError, UserError) as error:
        raise UserError(f"{folder}: no finished run ({str(error).splitlines()[0]})") from None
    repeats = {request.id for request in planned.requests if request.probe == "repeat"}
    after = finished_seconds(folder, "likelihood")
    launches = stored.record(folder / "measure" / "measured.json", Measured)
    timed = [sample for launch in stored.samples(folder, launches) for sample in launch.requests]
    return measured(str(folder), timed, stored.probes(folder, launches, planned), repeats, after)


def _show(title: str, rows: list[Overhead]) -> None:
    table = Table("what", "requests", "probes", "extra time", "scoring after, s", title=title, title_justify="left")
    for row in rows:
        after = "–" if row.after_s is None else f"{row.after_s:.1f}"
        table.add_row(Text(row.what), str(row.requests), str(row.probes), f"{row.time_share:.1%}", after)
    stdout().print(table)
