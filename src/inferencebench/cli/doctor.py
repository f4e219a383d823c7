"""`inferencebench doctor`: what this machine can do, and how to get what is missing."""

from typing import TYPE_CHECKING, Annotated

import typer

from inferencebench.cli.common import JsonOption, print_json, stderr, stdout
from inferencebench.paths import cache_dir

if TYPE_CHECKING:
    from rich.table import Table

    from inferencebench.doctor.model import DoctorReport

EXIT_MISSING = 3
MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]–[/]", "missing": "[red]missing[/]"}

CalibrateOption = Annotated[
    bool, typer.Option("--calibrate", help="Also measure the load client's own error and capacity (20 s), and keep it.")
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Send nothing over the network.")]


def doctor(calibrate: CalibrateOption = False, offline: OfflineOption = False, json: JsonOption = False) -> None:
    """Show what this machine can do: sandboxes, GPUs, engines, model sources, clocks, noise and peak rates.

    Exit code 0 when the laptop suites can run here, 3 when something they need is missing.

    Example: inferencebench doctor --calibrate
    """
    from inferencebench.cli.calibrate import calibrate_client, calibration_lines
    from inferencebench.doctor.examine import examine

    with stderr().status("looking at this machine") as status:
        report = examine(cache_dir(), offline=offline, progress=lambda step: status.update(f"looking at: {step}"))
    calibrations = calibrate_client() if calibrate else ()
    possible = not report.blockers
    if json:
        names = ("calibration", "fallback_calibration")
        measured = {name: found.model_dump(mode="json") for name, found in zip(names, calibrations, strict=False)}
        print_json(report.model_dump(mode="json") | {"laptop_possible": possible} | measured)
    else:
        _show(report)
        for line in (line for found in calibrations for line in calibration_lines(found)):
            stdout().print(line, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(0 if possible else EXIT_MISSING)


def _show(report: "DoctorReport") -> None:
    out, machine = stdout(), report.hardware
    out.print(
        f"{machine.cpu_model}, {machine.cores} cores, {machine.memory_gib} GiB, kernel {machine.kernel} "
        f"({machine.architecture}); fingerprint {machine.sha256[:12]}",
        highlight=False,
        markup=False,
    )
    out.print(_table(report))
    peaks = report.peaks
    out.print(
        f"CPU rates seen: {_rates(peaks.measured_tflops, peaks.measured_bandwidth_gb_per_s)}\n"
        f"Bounds of the integrity floors: {_rates(peaks.tflops, peaks.bandwidth_gb_per_s)} ({peaks.provenance})",
        highlight=False,
        markup=False,
    )
    if report.blockers:
        names = ", ".join(f.name for f in report.blockers)
        out.print(f"[red]The laptop suites cannot run here yet[/]; missing: {names}", highlight=False)
    else:
        out.print("[green]The laptop suites can run here[/]: inferencebench demo", highlight=False)


def _rates(tflops: dict[str, float], gb_per_s: float | None) -> str:
    rates = ", ".join(f"{name} {value:.3g}" for name, value in tflops.items())
    return f"{rates} TFLOP/s; {gb_per_s or 0:.4g} GB/s"


def _table(report: "DoctorReport") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "", "", "found", "how to get it")
    area = ""
    for finding in report.findings:
        if finding.area != area and area:
            table.add_section()
        shown = finding.area if finding.area != area else ""
        area = finding.area
        table.add_row(shown, finding.name, MARKS[finding.status], escape(finding.detail), escape(finding.remedy))
    return table
