"""The load client's front: one call that runs a plan against a target and returns what it saw."""

import threading
from collections.abc import Callable

from inferencebench.load.loop import Loop
from inferencebench.load.model import LoadPlan, Progress, Recording, Target
from inferencebench.load.quiet import no_collection, pinned


def run(
    target: Target,
    plan: LoadPlan,
    on_progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> Recording:
    """Send `plan.requests` by their offsets under the profile's cap, and record every read.

    Burst is a closed loop: all start together, and each end lets the next one go. Connections are opened before the
    profile's zero; a lost one is replaced beside the loop. Ends in bounded time whatever the server does: each request
    has `request_timeout_s`, the profile `total_timeout_s`. Failed requests are recorded with their reason, never
    raised. `on_progress` is called at most five times a second, on this thread. Once `stop` is set, what is unfinished
    fails as `interrupted` and the recording is returned.
    """
    loop = Loop(target, plan, on_progress, stop)
    try:
        loop.open()
        with pinned(plan.cpu), no_collection():
            loop.serve()
        return loop.recording()
    finally:
        loop.close()
