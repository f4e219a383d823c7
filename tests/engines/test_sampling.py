"""The reference's draw: the distribution asked for, from the request's own random stream."""

import math
from collections import Counter

import pytest
import torch

from inferencebench.engines.pytorch.sampling import Sampling, SeededDraw

LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0]])


def _draws(n: int, sampling: Sampling) -> list[int]:
    draw = SeededDraw(sampling, "cpu")
    return [int(draw(None, LOGITS).argmax()) for _ in range(n)]


def _sampling(**options: object) -> Sampling:
    return Sampling(**({"max_tokens": 1, "temperature": 1.0, "seed": 3} | options))  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_follow_the_temperature(temperature: float) -> None:
    n = 4000
    counts = Counter(_draws(n, _sampling(temperature=temperature)))
    for token, p in enumerate(torch.softmax(LOGITS[0] / temperature, dim=0).tolist()):
        assert abs(counts[token] / n - p) < 4 * math.sqrt(p * (1 - p) / n)


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    # Probabilities 0.644, 0.237, 0.087, 0.032.
    assert set(_draws(500, _sampling(top_p=0.6))) == {0}
    assert set(_draws(500, _sampling(top_p=0.7))) == {0, 1}
    assert set(_draws(500, _sampling(top_p=0.95))) == {0, 1, 2}


def test_only_the_drawn_token_stays_possible() -> None:
    scores = SeededDraw(_sampling(), "cpu")(None, LOGITS)
    assert int(torch.isfinite(scores).sum()) == 1


def test_seed_decides_whatever_others_draw() -> None:
    alone = _draws(50, _sampling(seed=5))
    first, second = SeededDraw(_sampling(seed=5), "cpu"), SeededDraw(_sampling(seed=6), "cpu")
    mixed = [(int(first(None, LOGITS).argmax()), int(second(None, LOGITS).argmax())) for _ in range(50)]
    assert [a for a, _ in mixed] == alone
    assert [b for _, b in mixed] != alone
    assert _draws(50, _sampling(seed=5 + 2**63)) == alone
    assert _draws(50, _sampling(seed=None)) != _draws(50, _sampling(seed=None))


def test_near_zero_temperature_is_greedy() -> None:
    assert _sampling(temperature=0).greedy
    assert not _sampling(temperature=0.01).greedy
