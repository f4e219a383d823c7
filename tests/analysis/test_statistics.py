"""The statistics against values worked out by hand, numpy, and simulation."""

import itertools
import math
import random
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferencebench.analysis import statistics as s

PAIRS = ("21-1337", "248-428", "999-777")


def cell(*values: float) -> dict[str, float]:
    return dict(zip(PAIRS, values, strict=False))


def test_sem_has_one_degree_of_freedom_less() -> None:
    found = s.mean_sem([1.0, 2.0, 4.0])
    assert found is not None
    assert found.sem == pytest.approx(np.std([1, 2, 4], ddof=1) / math.sqrt(3))
    assert s.mean_sem([]) is None
    assert s.mean_sem([3.0]) == (1, 3.0, None)


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    """For one cell the aggregate is the mean, and the jackknife is then exactly s / sqrt(n)."""
    found = s.mean_sem([2.0, 3.0, 7.0])
    assert found is not None
    assert s.jackknife_sem([cell(2.0, 3.0, 7.0)]) == pytest.approx(found.sem)


def test_bootstrap_of_three_pairs_is_exact() -> None:
    values = (2.0, 3.0, 7.0)
    means = sorted(fmean(draw) for draw in itertools.product(values, repeat=3))
    assert len(means) == 27
    assert s.bootstrap_interval([cell(*values)]) == pytest.approx(np.percentile(means, [2.5, 97.5]))
    assert s.bootstrap_interval([cell(2.0, 3.0), cell(1.0)]) is None


def test_pairs_are_drawn_together() -> None:
    """A seed that is hard for both scenarios widens the interval; apart, the draws would cancel out."""
    together = s.bootstrap_interval([cell(1, 2, 4), cell(1, 2, 4)])
    against = s.bootstrap_interval([cell(1, 2, 4), cell(4, 2, 1)])
    assert together is not None
    assert against is not None
    assert together.high - together.low > against.high - against.low


@pytest.mark.parametrize(("n", "p"), [(1, 1.0), (3, 0.25), (6, 2 / 64), (12, 2 / 4096)])
def test_all_better_is_the_rarest_pattern(n: int, p: float) -> None:
    found = s.paired(dict.fromkeys(range(n), 2.0), dict.fromkeys(range(n), 1.0))
    assert found is not None
    assert (found.n, found.ratio, found.p) == (n, pytest.approx(2.0), pytest.approx(p))


def test_sign_flips_count_every_pattern() -> None:
    logs = [0.3, -0.1, 0.2, 0.05]
    seen = abs(sum(logs)) - 1e-12
    patterns = list(itertools.product((1, -1), repeat=4))
    wanted = sum(abs(sum(a * b for a, b in zip(p, logs, strict=True))) >= seen for p in patterns) / 16
    found = s.paired({i: math.exp(x) for i, x in enumerate(logs)}, dict.fromkeys(range(4), 1.0))
    assert found is not None
    assert found.p == pytest.approx(wanted)


def test_many_cells_are_sampled_and_repeatable() -> None:
    rng = random.Random(3)
    ours = {i: math.exp(rng.gauss(0.0, 0.2)) for i in range(30)}
    first = s.paired(ours, dict.fromkeys(range(30), 1.0))
    assert first == s.paired(dict(reversed(ours.items())), dict.fromkeys(range(30), 1.0))
    assert first is not None
    assert 0.01 < first.p <= 1


def test_only_what_both_did_is_compared() -> None:
    assert s.paired({1: 2.0}, {2: 1.0}) is None
    found = s.paired({1: 2.0, 2: 9.0}, {1: 1.0, 3: 1.0})
    assert found is not None
    assert (found.n, found.interval) == (1, None)


def test_a_test_of_equals_is_seldom_below_its_level() -> None:
    rng = random.Random(11)
    low = 0
    for _ in range(400):
        one = s.paired({i: math.exp(rng.gauss(0, 0.3)) for i in range(8)}, dict.fromkeys(range(8), 1.0))
        low += one is not None and one.p <= 0.05
    assert low / 400 < 0.085


def test_noise_floor_holds_nineteen_of_twenty_pairs() -> None:
    rng = random.Random(5)

    def draw() -> float:
        return 10 * math.exp(rng.gauss(0, 0.04))

    floor = s.noise_floor([[draw() for _ in range(5)] for _ in range(60)])
    assert floor is not None
    assert floor.log_sd == pytest.approx(0.04, rel=0.15)
    inside = sum(abs(math.log(draw() / draw())) <= math.log(floor.factor) for _ in range(4000))
    assert 0.93 < inside / 4000 < 0.97
    assert s.noise_floor([[1.0], [2.0]]) is None


def test_ranks_share_places_and_their_intervals_hold_them() -> None:
    assert s.ranks({"a": 3.0, "b": 5.0, "c": 3.0, "d": 1.0}) == {"b": 1, "a": 2, "c": 2, "d": 4}
    rows = {"sure": [cell(9, 9, 9)], "either": [cell(1, 3, 2)], "or": [cell(3, 1, 2)], "hole": [cell(4, 4)]}
    assert s.rank_intervals(rows) == {"sure": (1, 1), "either": (2, 3), "or": (2, 3)}


def test_quartiles_of_ties_are_fractions() -> None:
    found = s.fractional_quartiles({n: 8.0 - n for n in range(8)})
    assert list(found.values()) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert s.fractional_quartiles({1: 5.0, 2: 5.0, 3: 5.0, 4: 5.0}) == dict.fromkeys((1, 2, 3, 4), 2.5)
    assert [s.bucket(x) for x in (0.25, 0.26, 1.25, 2.25, 3.0)] == [
        "stable",
        "adjacent",
        "adjacent",
        "two_quartiles",
        "extreme",
    ]


@given(st.lists(st.floats(0.1, 1e3), min_size=1, max_size=30), st.floats(0, 100))
def test_percentiles_are_numpys(values: list[float], percent: float) -> None:
    assert s.percentile(sorted(values), percent) == pytest.approx(float(np.percentile(values, percent)), rel=1e-9)
