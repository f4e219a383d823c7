"""Upper bounds of a CPU's arithmetic and memory rates.

Two sources, and the larger wins. The *instruction set bound* is cores x clock x operations per cycle for the widest
units any processor with these feature flags has ever had. The *measured* rate (times `SAFETY`) covers units that no
flag shows, such as Apple's matrix coprocessor. A measurement alone would not do: on a busy or throttled machine it is
below the truth. Main-memory bandwidth alone would not do either: a small model fits into the caches of a large CPU, so
the bound on reads is the load width of the first-level caches.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

SAFETY = 2.0
"""Factor on a measured rate: turbo states and a disturbed calibration differ by less."""
MAX_CLOCK_GHZ = 6.5
"""Above every clock sold; used where the kernel does not tell the highest one (virtual machines)."""
LOAD_BYTES_PER_CYCLE = 128
"""Two 64-byte loads per cycle and core, the widest first-level cache port there is."""
MATRIX = 1024
MATRIX_SECONDS = 0.4
BUFFER_BYTES = 128 * 2**20
READ_SECONDS = 0.4


class OpsPerCycle(NamedTuple):
    """Operations per cycle and core (a multiply-add counts as two), for the widest known implementation."""

    f32: int
    bf16: int
    int8: int


INSTRUCTION_SETS: tuple[tuple[str, OpsPerCycle], ...] = (
    ("sme", OpsPerCycle(1024, 4096, 8192)),
    ("amx_tile", OpsPerCycle(64, 2048, 4096)),
    ("avx512f", OpsPerCycle(64, 128, 256)),
    ("avx2", OpsPerCycle(32, 64, 128)),
    ("sve", OpsPerCycle(64, 256, 512)),
    ("asimd", OpsPerCycle(32, 128, 256)),
)
"""The first flag that /proc/cpuinfo shows decides. Units: Intel AMX 16x16 tiles of 64 bytes per 16 cycles; AVX-512 two
fused multiply-add ports with VNNI and BF16 dot products; Arm four 128-bit pipes with matrix-multiply extensions."""
UNKNOWN = OpsPerCycle(1024, 4096, 8192)
"""No known flag: the widest row, so that the bound stays one."""


@dataclass(frozen=True)
class IsaBound:
    """What no program can exceed on this CPU."""

    cores: int
    tflops: dict[str, float]
    bandwidth_gb_per_s: float
    description: str


@dataclass(frozen=True)
class Measured:
    """What a few seconds of matrix products and reads reached."""

    tflops: dict[str, float]
    bandwidth_gb_per_s: float


def isa_bound(flags: frozenset[str] | None = None, cores: int | None = None, ghz: float | None = None) -> IsaBound:
    """The bound for this machine, or for the given flags, cores and clock in GHz."""
    flags = cpu_flags() if flags is None else flags
    cores = cores or os.cpu_count() or 1
    ghz = ghz or max_clock_ghz()
    name, ops = next(((n, o) for n, o in INSTRUCTION_SETS if n in flags), ("unknown instruction set", UNKNOWN))
    tera = cores * ghz / 1e3
    return IsaBound(
        cores=cores,
        tflops={"f32": ops.f32 * tera, "bf16": ops.bf16 * tera, "int8": ops.int8 * tera},
        bandwidth_gb_per_s=cores * ghz * LOAD_BYTES_PER_CYCLE,
        description=f"{name} at {ghz:g} GHz at most",
    )


def upper_bounds(isa: IsaBound, seen: Measured) -> dict[str, float]:
    """TFLOP/s by data type: the larger of bound and `SAFETY` x measured; a narrower type is never slower."""
    f32 = max(isa.tflops["f32"], SAFETY * seen.tflops["f32"])
    bf16 = max(isa.tflops["bf16"], SAFETY * seen.tflops.get("bf16", 0.0), f32)
    return {"f32": f32, "bf16": bf16, "int8": max(isa.tflops["int8"], 2 * bf16)}


def cpu_flags() -> frozenset[str]:
    """Feature flags of the first core; empty where the kernel shows none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def max_clock_ghz() -> float:
    """Highest clock of any core, turbo included, as the kernel tells it; else `MAX_CLOCK_GHZ`."""
    found = []
    for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq"):
        try:
            found.append(int(path.read_text()) / 1e6)
        except (OSError, ValueError):
            continue
    return max(found, default=MAX_CLOCK_GHZ)


def measure() -> Measured:
    """Best matrix-product rates (f32; bf16 where torch is installed) and read bandwidth. Takes 1 s, 3 s with torch."""
    tflops = {"f32": _f32_tflops()}
    if find_spec("torch") is not None:
        tflops["bf16"] = _bf16_tflops()
    return Measured(tflops, _read_gb_per_s())


def _best_seconds(work: Callable[[], object], seconds: float) -> float:
    """The shortest of the calls that fit into `seconds`, at least three of them; the first warms up."""
    work()
    best = float("inf")
    end = time.perf_counter() + seconds
    calls = 0
    while calls < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
        calls += 1
    return best


def _f32_tflops() -> float:
    a = np.ones((MATRIX, MATRIX), dtype=np.float32)
    return 2 * MATRIX**3 / _best_seconds(lambda: a @ a, MATRIX_SECONDS) / 1e12


def _bf16_tflops() -> float:
    import torch

    a = torch.ones(MATRIX, MATRIX, dtype=torch.bfloat16)
    return 2 * MATRIX**3 / _best_seconds(lambda: a @ a, MATRIX_SECONDS) / 1e12


def _read_gb_per_s() -> float:
    """All cores sum one buffer, each its part; NumPy drops the interpreter lock while it reads."""
    cores = os.cpu_count() or 1
    parts = np.array_split(np.ones(BUFFER_BYTES // 8, dtype=np.float64), cores)
    with ThreadPoolExecutor(cores) as pool:
        seconds = _best_seconds(lambda: list(pool.map(np.max, parts)), READ_SECONDS)
    return BUFFER_BYTES / seconds / 1e9
