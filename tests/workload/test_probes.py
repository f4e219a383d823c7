"""Probes: among the timed requests, like them, few, and in an order nobody can foretell."""

import pytest

from inferencebench.suites.load import load, names
from inferencebench.workload.canary import ASKED, PLANTED, capable, code_in, code_of_digest, planting, says
from inferencebench.workload.draws import Draws
from inferencebench.workload.model import Message, SpeedRequest
from inferencebench.workload.probes import Probe, placed, probes

SALT = bytes(range(32))


def draws(*parts: object) -> Draws:
    return Draws(SALT, *parts)


@pytest.mark.parametrize("suite", names())
def test_at_most_eighty_requests_and_fifteen_percent_of_the_time(suite: str) -> None:
    for scenario in load(suite).scenarios:
        found = probes(scenario, draws(suite, scenario.name), canaries=True)
        assert len(found) <= 80
        timed = sum(p.requests for p in scenario.profiles)
        # A token read costs far less than one written; counting both alike is the worst case for short probes.
        whole = scenario.input_tokens + scenario.output_tokens
        extra = sum(scenario.input_tokens + (p.max_tokens or scenario.output_tokens) for p in found)
        assert len({p.id for p in found}) == len(found)
        if timed >= 32:
            assert extra <= 0.15 * timed * whole, (suite, scenario.name)
        assert all(p.of != p.id for p in found)


def test_canaries_are_pairs_on_one_document_where_the_model_can_repeat_a_code() -> None:
    paper = load("h100-mistral-7b")
    assert capable(paper)
    assert not capable(load("laptop"))
    assert not capable(load("h100-random-7b"))
    counts = {}
    for scenario in paper.scenarios:
        found = [p for p in probes(scenario, draws(), canaries=True) if p.kind == "canary"]
        counts[scenario.id] = len(found)
        assert all(
            second.of == first.id and not first.of for first, second in zip(found[::2], found[1::2], strict=True)
        )
    assert counts == {"A": 8, "B": 20, "C": 20, "D": 8}


def test_a_code_is_planted_at_its_depth_found_again_and_heard_in_an_answer() -> None:
    code = code_of_digest(bytes(range(8)))
    document = "word " * 200
    for depth in (0.0, 0.4, 0.999):
        text = planting(code, depth)(document)
        at = text.index(code) / len(text)
        assert abs(at - depth) < 0.15
        asked = request(0).model_copy(update={"messages": (Message(role="user", content=f"nonce\n{text}"),)})
        assert code_in(asked) == code
        assert text.replace(PLANTED.format(code=code), "").removesuffix(ASKED) == document
    assert code_in(request(0)) is None
    assert says(f"It is {code.lower().replace('-', ' ')}.", code)
    assert not says("It is not said.", code)


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
