"""Samplers by name: what they propose, and what they keep of what they are told."""

import pytest

from inferencebench.errors import UserError
from inferencebench.search.samplers import OptunaSampler, SmacSampler, Told, make
from tests.search.toy import SPACE


def test_told_again_replaces_what_was_told_but_as_published() -> None:
    for name, trials in (("tpe", 2), ("gp", 2), ("tpe-paper", 3)):
        sampler = make(name, SPACE, 1)
        assert isinstance(sampler, OptunaSampler)
        sampler.tell(Told({"speed": 3}, 0.1, 0.0))
        sampler.tell(Told({}, 0.5, 0.0))
        sampler.tell(Told({"speed": 3}, 0.9, 1.0))
        assert len(sampler._study.trials) == trials
        assert 0.9 in [trial.value for trial in sampler._study.trials]


def test_smac_knows_the_last_that_was_told_and_goes_on_in_a_small_space() -> None:
    pytest.importorskip("smac")
    sampler = make("smac", SPACE, 1)
    assert isinstance(sampler, SmacSampler)
    sampler.tell(Told({"speed": 3}, 0.1, 0.0))
    sampler.tell(Told({"speed": 3}, 0.9, 1.0))
    assert [value.cost for value in sampler._smac.runhistory.values()] == [0.9]
    # The toy space holds 48 configurations.
    seen = []
    for number in range(60):
        seen.append(sampler.ask())
        sampler.tell(Told(seen[-1], float(number), 0.0))
    assert len({str(sorted(c.items())) for c in seen}) <= 48


@pytest.mark.parametrize("name", ["random", "tpe", "gp", "tpe-paper", "smac", "smac-paper"])
def test_every_sampler_keeps_the_contract(name: str) -> None:
    if name.startswith("smac"):
        pytest.importorskip("smac")
    sampler = make(name, SPACE, 1)
    sampler.tell(Told({}, 0.0, 0.0))
    sampler.tell(Told({"speed": 3, "crash": True}, 1.0, 1.0))
    for number in range(12):
        configuration = sampler.ask()
        for parameter in SPACE.parameters:
            assert configuration.get(parameter.name) in parameter.choices
        sampler.tell(Told(configuration, float(number), float(bool(configuration.get("crash")))))


def test_unknown_sampler() -> None:
    with pytest.raises(UserError, match="sampler 'nope': expected one of random, tpe"):
        make("nope", SPACE, 1)
