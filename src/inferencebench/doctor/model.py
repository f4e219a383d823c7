"""What `doctor` reports."""

from enum import StrEnum

from inferencebench.doctor.hardware import HardwareFingerprint, Peaks
from inferencebench.suites.model import Record


class Status(StrEnum):
    """How a finding bears on a run."""

    OK = "ok"
    WARN = "warn"
    """Works, or is optional and absent."""
    MISSING = "missing"
    """A laptop run needs it."""


class Finding(Record):
    """One fact about this machine."""

    area: str
    name: str
    status: Status
    detail: str
    remedy: str = ""
    """How to get what is missing; empty when nothing is."""


class DoctorReport(Record):
    """Everything `doctor` found, and whether the laptop suites can run here."""

    hardware: HardwareFingerprint
    peaks: Peaks
    findings: tuple[Finding, ...]

    @property
    def blockers(self) -> tuple[Finding, ...]:
        """What keeps the laptop suites from running."""
        return tuple(f for f in self.findings if f.status is Status.MISSING)
