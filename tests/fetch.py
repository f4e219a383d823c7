"""Fetches what tests need into the cache before they run: no download then eats into a test's time limit.

    python -m tests.fetch [--agents]

What cannot be had is told, and left to the tests that need it.
"""

import sys
import time
from collections.abc import Callable

from inferencebench.agents import install
from inferencebench.errors import BenchError
from inferencebench.models.store import ensure_checkpoint
from inferencebench.paths import cache_dir
from tests.models.shapes import SMOLLM2

ATTEMPTS = 3
PAUSE_S = 5.0


def fetch(name: str, get: Callable[[], object]) -> None:
    """Try a few times: what fails is mostly the network, for a moment."""
    for attempt in range(ATTEMPTS):
        try:
            get()
        except BenchError as error:
            print(f"fetch: {name}, attempt {attempt + 1} of {ATTEMPTS}: {error}", file=sys.stderr, flush=True)
            time.sleep(PAUSE_S)
        else:
            return


if __name__ == "__main__":
    fetch(SMOLLM2.id, lambda: ensure_checkpoint(SMOLLM2, cache_dir()))
    for package in install.PACKAGES if "--agents" in sys.argv else ():
        fetch(package.name, lambda package=package: install.install(package))  # type: ignore[misc]
