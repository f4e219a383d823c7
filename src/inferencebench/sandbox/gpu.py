"""What a sandbox with a GPU sees of the machine beyond the base system: nodes, the driver's libraries, its settings."""

import os
from collections.abc import Mapping
from pathlib import Path

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
    for node in (*(f"nvidia{index}" for index in gpus), *NODES):
        if Path(f"/dev/{node}").exists():
            found += ["--dev-bind", f"/dev/{node}", f"/dev/{node}"]
    return found


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
