"""The examination: every probe in turn, one report."""

from collections.abc import Callable
from pathlib import Path

from inferencebench.doctor import software
from inferencebench.doctor.hardware import calibrate_peaks, fingerprint
from inferencebench.doctor.model import DoctorReport, Finding
from inferencebench.doctor.resources import resources


def examine(cache: Path, *, offline: bool = False, progress: Callable[[str], None] = lambda _: None) -> DoctorReport:
    """Look at everything a run needs. Takes about 10 s; `offline` sends nothing over the network."""
    findings: list[Finding] = []
    # Noise and clocks first: the later probes start processes.
    progress("machine")
    findings += resources(cache)
    progress("GPUs")
    findings += software.gpus()
    progress("peak rates")
    peaks = calibrate_peaks(cache)
    progress("sandboxes")
    findings += software.sandboxes()
    progress("engines")
    findings += software.engines()
    progress("model sources")
    findings += software.model_sources(cache, None if offline else software.reachable)
    return DoctorReport(hardware=fingerprint(), peaks=peaks, findings=tuple(findings))
