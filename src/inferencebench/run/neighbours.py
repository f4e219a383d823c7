"""Who else uses a device or the machine: a shared device measures its neighbour too."""

import os
import subprocess
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import NamedTuple

SMI = "nvidia-smi"
SMI_TIMEOUT_S = 20.0
STATE = "clocks.sm,clocks.max.sm,temperature.gpu,power.draw,memory.used,clocks_throttle_reasons.active"
SLOWDOWNS = {0x08: "hardware slowdown", 0x20: "heat", 0x40: "heat (hardware)", 0x80: "power brake"}
"""Bits of NVML's clocks event reasons that mean a sick machine; a power cap is how GPUs work under load."""

RELEASE_S = 20.0
"""A driver takes a moment to take a dead process's memory back; more is a fault of the machine."""
LOOK_S = 0.2


def foreign_users(gpu: int) -> tuple[int, ...]:
    """Pids of processes that compute on this GPU now, by NVML or `nvidia-smi`; empty where neither can say."""
    if find_spec("pynvml") is not None:
        import pynvml

        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            device = pynvml.nvmlDeviceGetHandleByIndex(gpu)
            return tuple(process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(device))
    rows = _smi(f"--id={gpu}", "--query-compute-apps=pid")
    return tuple(int(row) for row in rows if row.isdigit())


def still_holding(gpus: Sequence[int], pids: Collection[int], timeout_s: float = RELEASE_S) -> tuple[int, ...]:
    """Those of the ended processes `pids` that the driver still counts as users of a GPU after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while left := tuple(sorted({pid for gpu in gpus for pid in foreign_users(gpu)} & set(pids))):
        if time.monotonic() >= deadline:
            break
        time.sleep(LOOK_S)
    return left


class GpuState(NamedTuple):
    """A GPU at one moment, in the words of `nvidia-smi`; None where it says `[N/A]`."""

    sm_mhz: float | None
    max_sm_mhz: float | None
    celsius: float | None
    watts: float | None
    used_mib: float | None
    throttled: tuple[str, ...]
    """Why it is held below its clocks by more than its power cap: heat, or its power supply."""


def gpu_state(gpu: int) -> GpuState | None:
    """Clocks, heat and memory of a GPU; None where `nvidia-smi` does not answer."""
    row = next(iter(_smi(f"--id={gpu}", f"--query-gpu={STATE}")), "")
    cells = [cell.strip() for cell in row.split(",")]
    if len(cells) != len(STATE.split(",")):
        return None
    sm, max_sm, celsius, watts, used, mask = cells
    reasons = int(mask, 16) if mask.startswith("0x") else 0
    throttled = tuple(name for bit, name in SLOWDOWNS.items() if reasons & bit)
    return GpuState(_number(sm), _number(max_sm), _number(celsius), _number(watts), _number(used), throttled)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def device_name(gpu: int | None) -> str:
    """Names a GPU of this host (None: its cores) in lease files, which a cluster's hosts may share.

    By UUID where the driver tells it: a scheduler that hides devices gives every job a GPU 0."""
    host = os.uname().nodename
    if gpu is None:
        return f"device-{host}"
    return f"device-{host}-{_uuid(gpu) or f'gpu{gpu}'}"


def _uuid(gpu: int) -> str | None:
    if find_spec("pynvml") is not None:
        import pynvml

        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            uuid = pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(gpu))
            return str(uuid.decode() if isinstance(uuid, bytes) else uuid)
    return next(iter(_smi(f"--id={gpu}", "--query-gpu=uuid")), None)


def _smi(*query: str) -> list[str]:
    """Lines of an answer of nvidia-smi; none where there is none."""
    argv = [SMI, *query, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=SMI_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []
