"""Probes of the integrity gate among the timed requests: same prompts, parameters and connection, at random places.

Three kinds. A *repeat* asks about an earlier request's document again, under a nonce of its own: an honest server works
as long as before and, at a temperature, says something else; one that keeps answers does not. It is timed like any
other request. A *short* one wants a fraction of the output: what it takes less tells how long a token really took,
whatever the stream of the long ones claims. A *canary* asks for a code in its document, see `canary`. The last two are
no samples of any metric (the wall time of their profile includes them).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from inferencebench.suites.model import Metric, Profile, Scenario
from inferencebench.workload.canary import TOKENS as CANARY_TOKENS
from inferencebench.workload.draws import Draws
from inferencebench.workload.model import SpeedRequest

MIN_TIMED = 4
"""A profile with fewer timed requests gets no repeat: it would cost more than it tells."""
REPEAT_SHARE = 0.05
MAX_REPEATS = 4
SHORT = 2
MAX_SHORT = 4
SHORT_SHARE = 16
"""A short probe's output is this fraction of a timed one's, at least `MIN_SHORT_TOKENS`."""
MIN_SHORT_TOKENS = 8
MAX_CANARY_PAIRS = 10
CANARY_SHARE = 0.06


class Probe(NamedTuple):
    """A probe before it has a prompt."""

    kind: Literal["", "repeat", "short", "canary"]
    id: str
    profile: str
    of: str
    """Source of a repeat, or of the second of two canaries on one document; else empty."""
    max_tokens: int | None
    """Output length of a short one or a canary; None: as a timed request."""


def probes(scenario: Scenario, draws: Draws, *, canaries: bool = False) -> list[Probe]:
    """The probes of a scenario's burst profile: at most 8 and 20 canaries, and at most 15 % of its time at paper
    scale."""
    profile = next((p for p in scenario.profiles if p.arrival == "burst"), None)
    if profile is None:
        return []
    found = [
        Probe("repeat", f"{profile.name}/r{number:03d}", profile.name, source, None)
        for number, source in enumerate(_sources(profile, draws))
    ]
    if scenario.metric in (Metric.TPOT, Metric.BALANCED):
        tokens = max(MIN_SHORT_TOKENS, scenario.output_tokens // SHORT_SHARE)
        count = max(SHORT, min(MAX_SHORT, round(REPEAT_SHARE * profile.requests)))
        if tokens * 2 <= scenario.output_tokens:
            found += [
                Probe("short", f"{profile.name}/s{number:03d}", profile.name, "", tokens) for number in range(count)
            ]
    return found + (_canaries(scenario, profile) if canaries else [])


def _canaries(scenario: Scenario, profile: Profile) -> list[Probe]:
    """Pairs on one document each, as many as cost no more than `CANARY_SHARE` of the tokens."""
    timed = profile.requests * (scenario.input_tokens + scenario.output_tokens)
    pairs = min(MAX_CANARY_PAIRS, int(CANARY_SHARE * timed / (2 * (scenario.input_tokens + CANARY_TOKENS))))
    ids = [(f"{profile.name}/c{2 * n:03d}", f"{profile.name}/c{2 * n + 1:03d}") for n in range(pairs)]
    return [
        Probe("canary", id, profile.name, of, CANARY_TOKENS)
        for first, second in ids
        for id, of in ((first, ""), (second, first))
    ]


def _sources(profile: Profile, draws: Draws) -> list[str]:
    if profile.requests < MIN_TIMED:
        return []
    count = max(1, min(MAX_REPEATS, round(REPEAT_SHARE * profile.requests)))
    return [f"{profile.name}/{number:04d}" for number in sorted(draws.shuffled(range(profile.requests // 2))[:count])]


def placed(requests: Sequence[SpeedRequest], draws: Draws) -> tuple[SpeedRequest, ...]:
    """The requests with their probes at random places: a short one anywhere in its profile, a repeat after its
    source."""
    order = [r for r in requests if not r.probe]
    for probe in (r for r in requests if r.probe):
        places = [i for i, r in enumerate(order) if r.profile == probe.profile]
        first = next((i for i in places if order[i].id == probe.of), places[0] - 1) + 1
        order.insert(draws.integer(first, places[-1] + 1), probe)
    return tuple(order)
