"""What a load is worth to its users and its payer: goodput under a service level, and dollars per million tokens."""

import re
from collections.abc import Iterable, Sequence

from inferencebench.errors import UserError
from inferencebench.load.metrics import tpot_s
from inferencebench.load.model import RequestSample
from inferencebench.suites.model import Record

CLOSED = ("burst", "closed")
"""Arrivals where a request waits for its place by design: its latencies count from the send. Of the others they count
from the schedule, since that is when its user began to wait."""
_VALUE = re.compile(r"([0-9]*\.?[0-9]+)(ms|s)?")


class Slo(Record):
    """What each single request must keep, seconds; None bounds nothing."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    latency_s: float | None = None


class Goodput(Record):
    """Requests that kept the service level. A failed request never does."""

    slo: Slo
    good: int
    share: float
    """Of all requests, failed ones included."""
    requests_per_s: float
    """good / wall time of the loads."""


class Cost(Record):
    """What tokens cost at this throughput on a server of this price."""

    usd_per_hour: float
    usd_per_million_output_tokens: float | None
    """usd_per_hour / 3600 / output_tokens_per_s * 1e6; None where nothing was generated."""
    usd_per_million_tokens: float | None
    """The same over prompt and output tokens; None where the prompt's are not known."""


def parse_slo(texts: Sequence[str]) -> Slo | None:
    """`ttft=0.5` or `tpot=40ms`, one bound each; None without any. Raises UserError that says what there is."""
    names = [name.removesuffix("_s") for name in Slo.model_fields]
    bounds: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        found = _VALUE.fullmatch(value)
        if name not in names or found is None or float(found[1]) <= 0:
            raise UserError(f"--slo {text!r}: expected {', '.join(names[:-1])} or {names[-1]}, such as ttft=500ms")
        bounds[f"{name}_s"] = float(found[1]) / (1000 if found[2] == "ms" else 1)
    return Slo(**bounds) if bounds else None


def goodput(requests: Sequence[RequestSample], slo: Slo, wall_s: float, closed: frozenset[str]) -> Goodput:
    """Goodput (Zhong et al., "DistServe", OSDI 2024): requests per second whose every bounded latency holds.

    `closed`: the profiles whose latencies count from the send. A request with one chunk has no TPOT to break.
    """
    good = sum(request.ok and _keeps(request, slo, from_send=request.profile in closed) for request in requests)
    return Goodput(
        slo=slo,
        good=good,
        share=good / len(requests) if requests else 0.0,
        requests_per_s=good / wall_s if wall_s > 0 else 0.0,
    )


def _keeps(request: RequestSample, slo: Slo, *, from_send: bool) -> bool:
    start = request.sent_s if from_send else request.scheduled_s
    seen = (
        (slo.ttft_s, _since(start, request.first_s)),
        (slo.tpot_s, tpot_s(request) or 0.0),
        (slo.latency_s, _since(start, request.end_s)),
    )
    return all(bound is None or (value is not None and value <= bound) for bound, value in seen)


def _since(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start


def cost(usd_per_hour: float, requests: Iterable[RequestSample], output_tokens: int, wall_s: float) -> Cost:
    """Dollars per million tokens of the successful requests; the failed ones' time is paid for as well."""
    prompts = [r.usage_prompt_tokens or r.prompt_tokens for r in requests if r.ok]
    total = sum(prompts) + output_tokens if all(prompts) else 0

    def per_million(tokens: int) -> float | None:
        return usd_per_hour * wall_s / 3600 / tokens * 1e6 if tokens else None

    return Cost(
        usd_per_hour=usd_per_hour,
        usd_per_million_output_tokens=per_million(output_tokens),
        usd_per_million_tokens=per_million(total),
    )
