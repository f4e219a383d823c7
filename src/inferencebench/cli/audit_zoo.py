"""`inferencebench audit --zoo` and `--calibrate`: the gate itself, on known cheats and honest controls."""

from pathlib import Path

import typer

from inferencebench.cli import audit_show, request
from inferencebench.cli.common import notes, print_json, stderr
from inferencebench.cli.progress import LiveReporter
from inferencebench.redteam import calibrate as calibration
from inferencebench.redteam import zoo as zoos
from inferencebench.redteam.model import Fixture
from inferencebench.redteam.sizes import shrink
from inferencebench.run.bench import Sources
from inferencebench.run.spec import RunSpec
from inferencebench.suites.load import load

EXIT_GATE_MISSED = 1
"""A fixture of the zoo was not judged as it should be."""


def zoo(
    name: str, only: list[str], out: Path, sandbox: str, model_source: str | None, *, reduced: bool, json: bool
) -> None:
    """Run the zoo in `out`, and print what the gate made of each fixture."""
    suite = shrink(load(name), reduced=reduced)
    fixtures = zoos.choose(only, suite.hardware.kind, reduced=reduced)
    common = request.Common(out / ("reduced" if reduced else "full"), sandbox, Sources(model=model_source))

    def spec_of(fixture: Fixture) -> RunSpec:
        return request.spec(suite, fixture.scenario, f"zoo:{fixture.name}", common)

    with LiveReporter(stderr()) as reporter:
        bench = request.bench(suite, common, reporter)
        report = zoos.run_zoo(fixtures, bench, spec_of, lambda row: notes([audit_show.line(row)]), reduced=reduced)
    if json:
        print_json(zoos.to_json(report))
    else:
        audit_show.show_zoo(report)
    if report.problems:
        notes(report.problems)
        raise typer.Exit(EXIT_GATE_MISSED)


def calibrate(name: str, out: Path, sandbox: str, model_source: str | None, *, json: bool) -> None:
    """Run the controls and impostors that are not finished in `out`, and store what they give."""
    impostors = set().union(*calibration.IMPOSTORS.values())
    suite = shrink(load(name), reduced=False)
    chosen = zoos.choose([], suite.hardware.kind, reduced=False)
    fixtures = [f for f in chosen if f.kind == "honest" or f.name in impostors]
    common = request.Common(out / "full", sandbox, Sources(model=model_source))
    specs = {f.name: request.spec(suite, f.scenario, f"zoo:{f.name}", common) for f in fixtures}
    with LiveReporter(stderr()) as reporter:
        bench = request.bench(suite, common, reporter)
        zoos.run_zoo(fixtures, bench, lambda f: specs[f.name], lambda row: notes([audit_show.line(row)]), reduced=False)
    found = calibration.calibrate(suite, fixtures, common.out, [specs[f.name] for f in fixtures])
    if json:
        print_json(found)
    else:
        audit_show.show_calibration(found)
