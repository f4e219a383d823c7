"""What a server may use of the machine it runs on."""

import os


def available_cores() -> int:
    """Cores in this process's affinity mask: what a sandbox allows, not what the machine has.

    More compute threads than allowed cores do not only queue: both engines spin at their barriers, and lose an order of
    magnitude."""
    return len(os.sched_getaffinity(0))
