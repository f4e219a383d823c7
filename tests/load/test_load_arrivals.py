"""Schedules are absolute, seeded, and of the asked rate."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferencebench.load.arrivals import offsets
from inferencebench.suites.model import Profile


def profile(arrival: str, requests: int, rate: float | None) -> Profile:
    return Profile.model_validate(
        {"name": "p", "arrival": arrival, "requests": requests, "concurrency": 4, "rate_per_s": rate}
    )


def test_burst_starts_all_at_once() -> None:
    assert offsets(profile("burst", 5, None), 1) == [0.0] * 5


def test_constant_is_i_over_rate() -> None:
    assert offsets(profile("constant", 4, 16.0), 1) == [0.0, 1 / 16, 2 / 16, 3 / 16]


def test_poisson_has_the_asked_rate_and_exponential_gaps() -> None:
    times = offsets(profile("poisson", 20_000, 32.0), 7)
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert len(times) / times[-1] == pytest.approx(32.0, rel=0.03)
    # An exponential's standard deviation equals its mean.
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.05)


@given(seed=st.integers(0, 2**32), rate=st.floats(0.01, 1000), requests=st.integers(1, 200))
def test_poisson_is_ordered_and_repeats_with_its_seed(seed: int, rate: float, requests: int) -> None:
    what = profile("poisson", requests, rate)
    times = offsets(what, seed)
    assert times == sorted(times)
    assert len(times) == requests
    assert times == offsets(what, seed)
    assert times != offsets(what, seed + 1)
