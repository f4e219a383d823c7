"""What this machine is (fingerprint), and what it cannot exceed (peak rates)."""

import os
import platform
from functools import cache
from pathlib import Path

import psutil
from pydantic import Field, ValidationError

from inferencebench.doctor import peaks as bounds
from inferencebench.doctor.gpu import Gpu, scan_gpus
from inferencebench.files import sha256_json, write_json
from inferencebench.suites.model import Record


class HardwareFingerprint(Record):
    """The facts of a machine that decide its speed: results of two fingerprints are never compared."""

    cpu_model: str
    cores: int
    """Online logical cores."""
    memory_gib: int
    """Rounded: the kernel's own share differs from boot to boot."""
    kernel: str
    architecture: str
    gpus: tuple[Gpu, ...]

    @property
    def sha256(self) -> str:
        """Hash of all the facts; beside GPUs without the memory, which virtual machines with GPUs are seen to grow
        while they run."""
        return sha256_json(self.model_dump(mode="json", exclude={"memory_gib"} if self.gpus else set()))


class Peaks(Record):
    """Upper bounds of what the machine's devices can do, per device, and what a short calibration really saw."""

    tflops: dict[str, float]
    """TFLOP/s (or TOP/s) by data type: `f32`, `bf16`, `int8`. Never less than the hardware can do."""
    bandwidth_gb_per_s: float
    """Upper bound of weight reads, from the fastest memory of the machine (a CPU's first-level caches)."""
    provenance: str
    measured_tflops: dict[str, float] = Field(default_factory=dict)
    """Matrix products of the calibration; shows the machine, bounds nothing."""
    measured_bandwidth_gb_per_s: float | None = None
    """Reads of main memory in the calibration; bounds nothing."""


@cache
def fingerprint() -> HardwareFingerprint:
    """The facts of this machine. Takes milliseconds without an NVIDIA driver, about a second with one."""
    return HardwareFingerprint(
        cpu_model=cpu_model(),
        cores=os.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / 2**30),
        kernel=platform.release(),
        architecture=platform.machine(),
        gpus=scan_gpus().gpus,
    )


def cpu_model() -> str:
    """The processor's name as the kernel shows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "cpu model") and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def calibrate_peaks(cache_dir: Path, *, force: bool = False) -> Peaks:
    """Upper bounds of this CPU's rates, from its instruction set and a calibration of a few seconds.

    Integrity floors are built on them, so an estimate below the truth would accuse honest servers: see
    `doctor.peaks` for the safety margins. Kept in `cache_dir` under the machine's fingerprint."""
    path = cache_dir / "peaks" / f"{fingerprint().sha256[:16]}.json"
    if not force:
        try:
            return Peaks.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            pass
    isa = bounds.isa_bound()
    seen = bounds.measure()
    found = Peaks(
        tflops=bounds.upper_bounds(isa, seen),
        bandwidth_gb_per_s=max(isa.bandwidth_gb_per_s, bounds.SAFETY * seen.bandwidth_gb_per_s),
        provenance=(
            f"{isa.description}; or {bounds.SAFETY:g} times the measured rate where that is more; over all "
            f"{isa.cores} cores"
        ),
        measured_tflops=seen.tflops,
        measured_bandwidth_gb_per_s=seen.bandwidth_gb_per_s,
    )
    write_json(path, found)
    return found
