"""Probes: among the timed requests, like them, few, and in an order nobody can foretell."""

import pytest

from inferencebench.suites.load import load, names
from inferencebench.workload.draws import Draws
from inferencebench.workload.model import Message, SpeedRequest
from inferencebench.workload.probes import Probe, placed, probes

SALT = bytes(range(32))


def draws(*parts: object) -> Draws:
    return Draws(SALT, *parts)


@pytest.mark.parametrize("suite", names())
def test_at_most_eighty_requests_and_fifteen_percent_of_the_time(suite: str) -> None:
    for scenario in load(suite).scenarios:
        found = probes(scenario, draws(suite, scenario.name))
        assert len(found) <= 80
        timed = sum(p.requests for p in scenario.profiles)
        # A token read costs far less than one written; counting both alike is the worst case for short probes.
        whole = scenario.input_tokens + scenario.output_tokens
        extra = sum(scenario.input_tokens + (p.max_tokens or scenario.output_tokens) for p in found)
        assert len({p.id for p in found}) == len(found)
        if timed >= 32:
            assert extra <= 0.15 * timed * whole, (suite, scenario.name)
        assert all(p.of != p.id for p in found)


def test_paper_scale_has_repeats_and_short_ones_where_tpot_is_scored() -> None:
    kinds = {s.id: [p.kind for p in probes(s, draws(s.id))] for s in load("h100-mistral-7b").scenarios}
    assert kinds == {
        "A": ["repeat"] * 4,
        "B": ["repeat"] * 3 + ["short"] * 3,
        "C": ["repeat"] * 4,
        "D": ["repeat"] * 4 + ["short"] * 4,
    }


def request(number: int, probe: Probe | None = None) -> SpeedRequest:
    return SpeedRequest(
        id=probe.id if probe else f"burst/{number:04d}",
        profile="burst",
        messages=(Message(role="user", content="x"),),
        prompt_tokens=8,
        max_tokens=8,
        temperature=0.5,
        seed=1,
        offset_s=0.0,
        probe=probe.kind if probe else "",
        of=probe.of if probe else "",
    )


def test_a_repeat_comes_after_its_source_and_places_depend_on_the_salt() -> None:
    scenario = load("h100-mistral-7b").scenarios[3]
    orders = set()
    for number in range(20):
        found = probes(scenario, draws("probes", number))
        timed = [request(n) for n in range(96)]
        order = [r.id for r in placed([*timed, *(request(0, p) for p in found)], draws("places", number))]
        assert [i for i in order if i in {t.id for t in timed}] == [t.id for t in timed]
        assert all(order.index(p.of) < order.index(p.id) for p in found if p.of)
        orders.add(tuple(order.index(p.id) for p in found))
    assert len(orders) == 20
