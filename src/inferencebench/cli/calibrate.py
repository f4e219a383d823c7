"""`inferencebench doctor --calibrate`: this machine's client error and capacity, stored for later measurements."""

import os
import sys
from typing import TYPE_CHECKING

from inferencebench.cli.common import stderr
from inferencebench.errors import MissingError

if TYPE_CHECKING:
    from inferencebench.load.calibration import Calibration
    from inferencebench.load.model import Recorder

RECORDERS: "tuple[Recorder, ...]" = ("auto", "portable")


def calibrate_client() -> "tuple[Calibration, ...]":
    """Run both recorders, with kernel stamps and the fallback, against the mock server, and keep the results.

    Server and client get a core of their own where there are two. Raises MissingError where the mock cannot run.
    """
    if sys.platform != "linux":
        raise MissingError("--calibrate: the mock server needs Linux (epoll)")
    from inferencebench.load.calibrate import calibrate
    from inferencebench.load.calibration import store_calibration

    cores = sorted(os.sched_getaffinity(0))
    server, client = (cores[0], cores[-1]) if len(cores) > 1 else (None, None)
    with stderr().status("calibrating the load client, about 20 s"):
        found = tuple(calibrate(server_cpu=server, client_cpu=client, recorder=recorder) for recorder in RECORDERS)
    for calibration in found:
        store_calibration(calibration)
    return found


def calibration_lines(calibration: "Calibration") -> list[str]:
    """The calibration for people."""
    error = calibration.error
    return [
        f"Load client ({calibration.client}), {calibration.streams} streams of {calibration.chunks_per_s} chunks/s: "
        f"TTFT error {error.ttft_error_s.mean * 1e6:.0f} us on average, {error.ttft_error_s.p99 * 1e6:.0f} us p99; "
        f"chunk lateness p99 {error.chunk_lateness_s.p99 * 1e6:.0f} us; TPOT error {error.tpot_error_s * 1e6:.2f} us",
        f"CPU {calibration.cpu_us_per_chunk:.1f} us a chunk and {calibration.parse_us_per_chunk:.1f} us to parse it; "
        f"capacity {calibration.capacity_chunks_per_s:,.0f} chunks/s",
    ]
