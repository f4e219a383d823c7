"""Deficits: zero for honest draws at any temperature, positive for another model's words, negative for greedy ones."""

import pytest
import torch

from inferencebench.gates.integrity import likelihood as lik
from inferencebench.gates.integrity.likelihood import Likelihood, Score, effect
from inferencebench.gates.integrity.teacher import _deficits, _fresh, _logp, _sum

TOKENS, VOCABULARY = 4000, 50


@pytest.fixture(scope="module")
def logits() -> torch.Tensor:
    return torch.randn(TOKENS, VOCABULARY, generator=torch.Generator().manual_seed(1)) * 2


def scored(logits: torch.Tensor, chosen: torch.Tensor, temperature: float) -> Score:
    return _sum(*_deficits(logits, chosen, temperature))


def drawn(logits: torch.Tensor, temperature: float, seed: int) -> torch.Tensor:
    weights = torch.softmax(logits / temperature, -1)
    return torch.multinomial(weights, 1, generator=torch.Generator().manual_seed(seed))[:, 0]


@pytest.mark.parametrize("temperature", [0.2, 0.7, 1.0])
def test_honest_draws_have_no_deficit_and_the_stated_variance(logits: torch.Tensor, temperature: float) -> None:
    found = scored(logits, drawn(logits, temperature, 2), temperature)
    assert abs(found.deficit_nats) < 4 * found.variance_nats2**0.5
    many = [scored(logits, drawn(logits, temperature, seed), temperature).deficit_nats for seed in range(30)]
    spread = torch.tensor(many).var().item()
    assert 0.4 < spread / found.variance_nats2 < 2.0


def test_greedy_words_are_too_likely_and_foreign_words_too_unlikely(logits: torch.Tensor) -> None:
    greedy = scored(logits, logits.argmax(-1), 0.7)
    foreign = scored(logits, drawn(torch.roll(logits, 1, 0), 0.7, 3), 0.7)
    assert greedy.deficit_nats / TOKENS < -0.3
    assert greedy.top1 == TOKENS
    assert foreign.deficit_nats / TOKENS > 1.0


def test_greedy_requests_are_judged_by_their_margin(logits: torch.Tensor) -> None:
    best = logits.argmax(-1)
    assert scored(logits, best, 0.0).deficit_nats == 0.0
    second = logits.topk(2).indices[:, 1]
    assert scored(logits, second, 0.0).deficit_nats > 0


def test_tokens_that_could_not_be_generated_weigh_no_more_than_the_clip() -> None:
    row = torch.zeros(1, 4)
    row[0, 3] = -torch.inf
    assert scored(row, torch.tensor([3]), 1.0).deficit_nats == pytest.approx(lik.CLIP_NATS)


def test_loops_are_counted_once() -> None:
    loop = list(range(10)) * 5
    fresh = _fresh(loop)
    assert sum(fresh) == 7 + 10
    assert all(_fresh(list(range(100))))


def score(nats: float, tokens: int = 400) -> Score:
    return Score(tokens=tokens, deficit_nats=nats * tokens, variance_nats2=float(tokens), top1=tokens // 2)


def test_an_effect_is_the_difference_to_the_baseline_with_both_errors() -> None:
    found = effect([score(0.5), score(0.7)], [score(0.1), score(0.1)])
    assert found is not None
    assert found.nats == pytest.approx(0.5)
    assert found.se >= (2 * 1 / 800) ** 0.5
    assert effect([], [score(0.1)]) is None
    assert effect([score(0.0, 0)], [score(0.1)]) is None


def test_rows_survive_their_file() -> None:
    row = Likelihood(id="burst/0001", whole=score(0.1), opening=score(0.2, 16))
    assert Likelihood.model_validate_json(row.model_dump_json()) == row


def test_the_chance_of_a_text_is_that_of_its_draws(logits: torch.Tensor) -> None:
    few, words = logits[:5], torch.tensor([1, 2, 3, 4, 5])
    expected = torch.log_softmax(few / 0.5, -1)[range(5), words].clamp(min=-lik.CLIP_NATS).sum().item()
    assert _logp(few, words, 0.5) == pytest.approx(expected)
    assert _logp(few, words, 0.0) is None
