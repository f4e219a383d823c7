"""Service levels of one's own: `ttft_p99=0.5` is a bound on a measured figure."""

import re
from collections.abc import Mapping, Sequence

from inferencebench.errors import UserError
from inferencebench.suites.model import Record

LATENCIES = ("ttft", "ttft_scheduled", "tpot", "itl", "latency", "latency_scheduled")
STATISTICS = ("mean", "p50", "p90", "p99")
RATES = ("requests_per_s", "output_tokens_per_s")


class Slo(Record):
    """A bound on a figure: at most, for a latency; at least, for a rate."""

    name: str
    """As it was given: `ttft_p99`, `requests_per_s`."""
    bound: float
    """Seconds, or a rate per second."""

    @property
    def metric(self) -> str:
        """Its name among a reading's metrics, unit included."""
        return self.name if self.is_rate else f"{self.name}_s"

    @property
    def is_rate(self) -> bool:
        """Whether more is better."""
        return self.name in RATES

    def excess(self, metrics: Mapping[str, float]) -> float:
        """How far a reading is beyond the bound, as a share of it; 0 or less where it holds, 1 where it is unknown."""
        value = metrics.get(self.metric)
        if value is None:
            return 1.0
        return 1.0 - value / self.bound if self.is_rate else value / self.bound - 1.0


def parse(text: str) -> Slo:
    """A bound from `NAME=VALUE`, seconds or `500ms`. Raises UserError that lists the names."""
    name, _, value = text.partition("=")
    known = [f"{latency}_{statistic}" for latency in LATENCIES for statistic in STATISTICS] + list(RATES)
    if name not in known:
        shown = f"{'|'.join(LATENCIES)} with _{'|_'.join(STATISTICS)}, or {' or '.join(RATES)}"
        raise UserError(f"--slo {text!r}: no figure {name!r}; there are {shown}")
    found = re.fullmatch(r"([0-9]*\.?[0-9]+(?:e-?\d+)?)(ms|s)?", value)
    if found is None or float(found[1]) <= 0 or (found[2] and name in RATES):
        like = "2.5" if name in RATES else "0.5 (seconds) or 500ms"
        raise UserError(f"--slo {text!r}: the bound {value!r} is not a number above 0, such as {like}")
    return Slo(name=name, bound=float(found[1]) / (1000 if found[2] == "ms" else 1))


def worst_excess(slos: Sequence[Slo], metrics: Mapping[str, float]) -> float:
    """The largest excess over all bounds; 0 without any."""
    return max((slo.excess(metrics) for slo in slos), default=0.0)
