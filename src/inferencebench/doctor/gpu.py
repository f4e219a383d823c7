"""NVIDIA devices of this machine, by NVML or by `nvidia-smi`."""

import subprocess
from importlib.util import find_spec

from inferencebench.suites.model import Record

SMI = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
SMI_TIMEOUT_S = 20.0


class Gpu(Record):
    """One device."""

    name: str
    memory_gib: float
    driver: str


class GpuScan(Record):
    """The devices, or why none was found."""

    gpus: tuple[Gpu, ...]
    detail: str


def scan_gpus() -> GpuScan:
    """The NVIDIA devices that the driver shows; needs no CUDA and starts no context."""
    if find_spec("pynvml") is not None:
        found = _by_nvml()
        if found.gpus:
            return found
    return _by_smi()


def _by_nvml() -> GpuScan:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return GpuScan(gpus=(), detail=f"NVML: {error}")
    try:
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        gpus = tuple(
            Gpu(
                name=_text(pynvml.nvmlDeviceGetName(handle)),
                memory_gib=round(pynvml.nvmlDeviceGetMemoryInfo(handle).total / 2**30, 1),
                driver=driver,
            )
            for handle in handles
        )
    except pynvml.NVMLError as error:
        return GpuScan(gpus=(), detail=f"NVML: {error}")
    finally:
        pynvml.nvmlShutdown()
    return GpuScan(gpus=gpus, detail="NVML")


def _by_smi() -> GpuScan:
    try:
        done = subprocess.run(SMI, capture_output=True, text=True, timeout=SMI_TIMEOUT_S, check=True)
    except FileNotFoundError:
        return GpuScan(gpus=(), detail="no NVIDIA driver (nvidia-smi is not installed)")
    except (subprocess.SubprocessError, OSError) as error:
        return GpuScan(gpus=(), detail=f"nvidia-smi failed: {error}")
    return GpuScan(gpus=parse_smi(done.stdout), detail="nvidia-smi")


def parse_smi(text: str) -> tuple[Gpu, ...]:
    """Devices from lines of `name, memory in MiB, driver`; lines without a number (`[N/A]`) are skipped."""
    gpus = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 3 and fields[1].isdigit():
            gpus.append(Gpu(name=fields[0], memory_gib=round(int(fields[1]) / 1024, 1), driver=fields[2]))
    return tuple(gpus)


def _text(value: str | bytes) -> str:
    """Older bindings return bytes."""
    return value.decode() if isinstance(value, bytes) else value
