"""Who else uses a device or the machine: a shared device measures its neighbour too."""

from importlib.util import find_spec


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
