"""What is seen of a server from outside while it is measured: its own `/metrics` before and after, and the machine
every two seconds. Written beside the samples; it enters no metric, and a server without it is no worse off."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from inferencebench.files import write_atomic
from inferencebench.sandbox.contract import ForeignListenerError
from inferencebench.serve.readiness import NotAServerError, get
from inferencebench.serve.server import Server

BEFORE, AFTER = "metrics-before.prom", "metrics-after.prom"
"""Prometheus text of the server's `/metrics`, where it has one."""
SAMPLES = "telemetry.jsonl"
"""A row per look: `at_s`, `cpu_percent` of the server's cores, `memory_bytes` in use on the machine, and per GPU
`gpu_percent`, `memory_bytes`, `power_w`, `temperature_c`, `clock_mhz`."""
EVERY_S = 2.0
ALLOWED_S = 2.0
METRICS_BYTES = 1 << 20
MOST_SAMPLES = 20_000

Look = Callable[[], dict[str, Any]]


@contextlib.contextmanager
def watching(server: Server, folder: Path, cpus: Sequence[int], gpus: Sequence[int]) -> Iterator[None]:
    """Keep telemetry in `folder` while the block runs. Nothing of it can make the block fail."""
    _keep_metrics(server, folder / BEFORE)
    over = threading.Event()
    thread = threading.Thread(target=_sample, args=(folder / SAMPLES, cpus, gpus, over), daemon=True, name="telemetry")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5.0)
    _keep_metrics(server, folder / AFTER)


def _keep_metrics(server: Server, path: Path) -> None:
    """The answer to `GET /metrics`, where it looks like one."""
    path.unlink(missing_ok=True)
    try:
        status, body = get(server.connect, "/metrics", ALLOWED_S, METRICS_BYTES)
    except (OSError, NotAServerError, ForeignListenerError):
        return
    if status == 200 and b"\0" not in body and not body.lstrip().startswith((b"<", b"{")):
        write_atomic(path, body)


def _sample(path: Path, cpus: Sequence[int], gpus: Sequence[int], over: threading.Event) -> None:
    import psutil

    began = time.monotonic()
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack, path.open("w", encoding="utf-8") as file:
        look = stack.enter_context(_gpus(gpus)) if gpus else None
        psutil.cpu_percent(percpu=True)
        for _ in range(MOST_SAMPLES):
            if over.wait(EVERY_S):
                return
            row: dict[str, Any] = {"at_s": round(time.monotonic() - began, 3)}
            used = psutil.cpu_percent(percpu=True)
            mine = [used[n] for n in cpus if n < len(used)] or used
            row["cpu_percent"] = round(sum(mine) / len(mine), 1)
            row["memory_bytes"] = psutil.virtual_memory().used
            if look is not None:
                row |= look()
            file.write(json.dumps(row) + "\n")
            file.flush()


@contextlib.contextmanager
def _gpus(numbers: Sequence[int]) -> Iterator[Look | None]:
    """A look at the GPUs by NVML; None where it cannot be asked."""
    if find_spec("pynvml") is None:
        yield None
        return
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(n) for n in numbers]
    except pynvml.NVMLError:
        yield None
        return

    def look() -> dict[str, Any]:
        found = []
        for handle in handles:
            with contextlib.suppress(pynvml.NVMLError):
                found.append(
                    {
                        "gpu_percent": pynvml.nvmlDeviceGetUtilizationRates(handle).gpu,
                        "memory_bytes": pynvml.nvmlDeviceGetMemoryInfo(handle).used,
                        "power_w": pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,
                        "temperature_c": pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
                        "clock_mhz": pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
                    }
                )
        return {"gpus": found}

    try:
        yield look
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
