"""A calibration as a record: what is kept per machine, and how measurements refer to it."""

import functools
import platform
from pathlib import Path

from pydantic import ValidationError

from inferencebench import MEASUREMENT_VERSION
from inferencebench.files import sha256_json, write_json
from inferencebench.load.model import CalibrationRef, Distribution
from inferencebench.paths import cache_dir
from inferencebench.suites.model import Record


class ClientError(Record):
    """How far a client's numbers are from the mock's record, in seconds; the mock's own lateness is not in them."""

    ttft_error_s: Distribution
    """Client's TTFT minus (first write - request received)."""
    chunk_lateness_s: Distribution
    """Client's receive time minus the mock's write, per chunk."""
    tpot_error_s: float
    """Mean over the requests of the client's TPOT minus the mock's."""


class Calibration(Record):
    """One calibration. CPU times are of the client's thread, user and system."""

    measurement_version: int
    client: str
    machine: str
    kernel: str
    made_at: str
    """UTC, ISO 8601."""
    streams: int
    chunks_per_s: int
    """Per stream, in the exactness part."""
    error: ClientError
    cpu_us_per_chunk: float
    """Receiving only."""
    parse_us_per_chunk: float
    capacity_chunks_per_s: float
    """Free-running: chunks over CPU seconds, parse included."""

    @property
    def reference(self) -> CalibrationRef:
        """What a measurement says of it."""
        return CalibrationRef(
            sha256=sha256_json(self),
            made_at=self.made_at,
            client=self.client,
            ttft_error_mean_s=self.error.ttft_error_s.mean,
            ttft_error_p99_s=self.error.ttft_error_s.p99,
            chunk_lateness_p99_s=self.error.chunk_lateness_s.p99,
            tpot_error_s=self.error.tpot_error_s,
            capacity_chunks_per_s=self.capacity_chunks_per_s,
        )


STAMPS = ("kernel-stamps", "user-stamps")
"""Recorders differ in their error by whose stamps they take; of several in one measurement the later here counts."""


def calibration_path(stamps: str) -> Path:
    """Where this machine's calibration of the recorder with these stamps is kept."""
    return cache_dir() / "calibration" / f"client-{MEASUREMENT_VERSION}-{stamps}.json"


def store_calibration(calibration: Calibration) -> Path:
    """Keep it for the records of later measurements; the file it went to."""
    stamps = _stamps(calibration.client)
    assert stamps is not None
    path = calibration_path(stamps)
    write_json(path, calibration)
    _read.cache_clear()
    return path


def stored_calibration(client: str) -> Calibration | None:
    """The kept calibration of the recorder `client`, as a record names it; several may stand there with commas.

    None if it is not ours, or has none for this version of the measurement and this machine."""
    stamps = _stamps(client)
    return None if stamps is None else _read(calibration_path(stamps))


def _stamps(client: str) -> str | None:
    return next((stamps for stamps in reversed(STAMPS) if stamps in client), None)


@functools.cache
def _read(path: Path) -> Calibration | None:
    try:
        calibration = Calibration.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    # A cache may lie on a file system that several machines share.
    return calibration if calibration.machine == machine_name() else None


def machine_name() -> str:
    """The processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
