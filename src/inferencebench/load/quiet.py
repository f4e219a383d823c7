"""A process that is not disturbed while it measures."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pinned(cpu: int | None) -> Iterator[None]:
    """Keep this thread on one core, where the system can."""
    if cpu is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def no_collection() -> Iterator[None]:
    """No garbage collection meanwhile.

    In the loop a pause would be read as the server's latency; in the parser it walks half a million rows in vain.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
