"""Running estimates while a load is under way: a look at raw bytes, cheap enough for the loop, for display only."""

import re
from bisect import bisect_left
from collections import deque
from statistics import fmean

from inferencebench.load.model import Exchange

_FIRST = re.compile(rb'content" ?: ?"[^"]')
"""Of `content` or `reasoning_content`."""
_LOOKS = 4
"""Requests looked at per call: bounds what a server of many short replies costs."""
_KEPT = 64


class Glance:
    """Means over the requests that ended last."""

    def __init__(self) -> None:
        self.ended: deque[Exchange] = deque(maxlen=_LOOKS)
        self._ttft: deque[float] = deque(maxlen=_KEPT)
        self._tpot: deque[float] = deque(maxlen=_KEPT)

    def means(self) -> tuple[float | None, float | None]:
        """(TTFT, time per event) in seconds, None before the first good request."""
        while self.ended:
            self._look(self.ended.popleft())
        return (fmean(self._ttft) if self._ttft else None, fmean(self._tpot) if self._tpot else None)

    def _look(self, exchange: Exchange) -> None:
        match = _FIRST.search(exchange.raw)
        if match is None or exchange.sent_ns is None or exchange.ended_ns is None:
            return
        read = bisect_left(exchange.ends, match.end())
        first_ns = exchange.kernel_ns[read] or exchange.user_ns[read]
        self._ttft.append((first_ns - exchange.sent_ns) / 1e9)
        # Neither usage nor the end has content; a delta with reasoning may have it twice.
        later = min(exchange.raw.count(part, match.end()) for part in (b"data:", b'content"'))
        if later:
            self._tpot.append((exchange.ended_ns - first_ns) / 1e9 / later)
