"""What a sandbox with a GPU sees of the machine beyond the base system: nodes, the driver's libraries, its settings."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

DEV = Path("/dev")
DRIVER = Path("/proc/driver/nvidia/gpus")
"""A folder per GPU, named by its place on the bus: the order in which NVML and `nvidia-smi` number GPUs."""
MINOR = re.compile(r"^Device Minor:\s*(\d+)", re.MULTILINE)
NODES = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset", "nvidia-caps")
DRIVER_PLACES = ("/opt/nvidia", "/etc/nvidia", "/run/nvidia-persistenced")
"""Parts of a driver outside /usr, where an image keeps them there."""
PREFIXES = ("NCCL_", "NVSHMEM_", "TORCH_SYMM_MEM_", "NVIDIA_", "CUDA_MODULE_", "CUDA_DEVICE_ORDER")
"""Settings of the machine (a feature of its GPU links that must stay off, say), never of an engine's speed."""


def options(gpus: tuple[int, ...]) -> list[str]:
    """Bubblewrap's options: device nodes of the allotted GPUs, the PCI tree that the driver reads, the driver."""
    if not gpus:
        return []
    found = ["--ro-bind-try", "/sys", "/sys"]
    for place in DRIVER_PLACES:
        found += ["--ro-bind-try", place, place]
    for node in nodes(gpus):
        found += ["--dev-bind", node, node]
    return found


def nodes(gpus: tuple[int, ...]) -> list[str]:
    """Device nodes of the allotted GPUs and of the driver, as far as they exist; none without a GPU.

    A GPU's node is named by its minor number, which need not follow the bus."""
    if not gpus:
        return []
    minors = [minor for minor in _minors() if (DEV / f"nvidia{minor}").exists()]
    own = [f"nvidia{minors[index] if index < len(minors) else index}" for index in gpus]
    return [str(DEV / name) for name in (*own, *NODES) if (DEV / name).exists()]


def _minors() -> list[int]:
    """Minor numbers of the machine's GPUs in their order on the bus."""
    texts = [path.read_text() for path in sorted(DRIVER.glob("*/information"))]
    return [int(found[1]) for text in texts if (found := MINOR.search(text))]


def proc_options(gpus: tuple[int, ...]) -> list[str]:
    """Bubblewrap's options that take writing from /proc.

    CUDA names its threads in /proc/self/task/*/comm while it starts, and gives up (error 304) where it may not. So with
    a GPU what belongs to a process stays writable for its owner, and everything else of /proc is bound read-only."""
    if not gpus:
        return ["--remount-ro", "/proc"]
    shared = sorted(e.path for e in os.scandir("/proc") if not e.name.isdigit() and not e.is_symlink())
    return [word for path in shared for word in ("--ro-bind-try", path, path)]


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a server on a GPU needs of the harness's environment: settings of the machine, and where the driver's
    libraries are if the linker must be told."""
    kept = {name: value for name, value in environ.items() if name.startswith(PREFIXES)}
    libraries = environ.get("LD_LIBRARY_PATH", "").split(":")
    shown = [path for path in libraries if path.startswith(("/usr/", *DRIVER_PLACES)) and Path(path).is_dir()]
    return kept | ({"LD_LIBRARY_PATH": ":".join(shown)} if shown else {})
