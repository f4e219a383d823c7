"""Who else uses a device or the machine: a shared device measures its neighbour too."""

import time
from collections.abc import Collection, Sequence
from importlib.util import find_spec

RELEASE_S = 20.0
"""A driver takes a moment to take a dead process's memory back; more is a fault of the machine."""
LOOK_S = 0.2


def foreign_users(gpu: int) -> tuple[int, ...]:
    """Pids of processes that compute on this GPU now; empty where the driver cannot say."""
    if find_spec("pynvml") is None:
        return ()
    import pynvml

    try:
        pynvml.nvmlInit()
        device = pynvml.nvmlDeviceGetHandleByIndex(gpu)
        return tuple(process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(device))
    except pynvml.NVMLError:
        return ()


def still_holding(gpus: Sequence[int], pids: Collection[int], timeout_s: float = RELEASE_S) -> tuple[int, ...]:
    """Those of the ended processes `pids` that the driver still counts as users of a GPU after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while left := tuple(sorted({pid for gpu in gpus for pid in foreign_users(gpu)} & set(pids))):
        if time.monotonic() >= deadline:
            break
        time.sleep(LOOK_S)
    return left
