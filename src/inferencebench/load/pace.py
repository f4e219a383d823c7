"""How long the loop may wait: exact before a scheduled send, and in bounded naps where kernel stamps allow them."""

import time
from collections.abc import Callable

NAP_NS = 1_000_000
"""Longest nap. Kernel stamps keep receive times exact meanwhile; only a refill under the cap waits for its end."""

_NAP_SHARE = 8
"""A nap is at most this fraction of a stream's mean gap between reads, so that it rarely merges two of its chunks."""

_MIN_NAP_NS = 250_000
_MIN_BATCH = 2
_CROWDED_NS = 30_000
"""Reads closer together than this leave the client little time of its own: then it naps as long as it may, and chunks
of one stream that merge are counted as such, where a starved client would be late with all of them."""
_WINDOW_NS = 20_000_000
_SLEEP_MARGIN_NS = 120_000
"""Sleeps end this much before a scheduled send; the rest is spun, since a sleep's end is late by the timer slack."""


class Nap:
    """Chooses the nap from the rate of reads: none unless it would gather at least two reads of different streams.

    At a rate near the client's capacity it is the longest nap, whatever that merges."""

    def __init__(self) -> None:
        self.ns = 0
        self._since_ns = 0
        self._reads = 0

    def saw(self, reads: int, busy: int, now_ns: int) -> None:
        """Note `reads` reads since the last call, with `busy` streams open."""
        self._reads += reads
        window = now_ns - self._since_ns
        if window < _WINDOW_NS:
            return
        gap_of_all = window // max(1, self._reads)
        nap = min(NAP_NS, gap_of_all * busy // _NAP_SHARE)
        if gap_of_all < _CROWDED_NS:
            self.ns = NAP_NS
        else:
            self.ns = nap if nap >= _MIN_NAP_NS and nap >= _MIN_BATCH * gap_of_all else 0
        self._since_ns, self._reads = now_ns, 0


def wait(
    poll: Callable[[int], list[tuple[int, int]]], now_ns: int, due_ns: int, check_ns: int, nap_ns: int
) -> list[tuple[int, int]]:
    """Poll for events until `due_ns` (met exactly) or `check_ns` (roughly), after a nap of `nap_ns` if there is room.

    `poll` takes whole milliseconds. CLOCK_MONOTONIC nanoseconds throughout.
    """
    left = min(due_ns, check_ns) - now_ns
    if nap_ns and left > 2 * nap_ns:
        time.sleep(nap_ns / 1e9)
        return poll(0 if left < 3_000_000 else (left - 2_000_000) // 1_000_000)
    if due_ns > check_ns:
        return poll(max(0, left) // 1_000_000 + 1)
    if left >= 2_000_000:
        return poll(left // 1_000_000 - 1)
    if left > 2 * _SLEEP_MARGIN_NS:
        time.sleep((left - _SLEEP_MARGIN_NS) / 1e9)
    return poll(0)
