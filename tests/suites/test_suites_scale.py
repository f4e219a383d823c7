"""A scaled suite: shorter, valid, and never mistaken for the whole one."""

import pytest

from inferencebench.errors import UserError
from inferencebench.suites.load import load, names
from inferencebench.suites.scale import MIN_BUDGET_S, MIN_OUTPUT_TOKENS, MIN_QUESTIONS, MIN_REQUESTS, scaled


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("factor", [0.5, 0.0625, 1e-6])
def test_shrinks_outputs_and_counts_and_nothing_else(name: str, factor: float) -> None:
    whole = load(name)
    short = scaled(whole, factor)
    assert short.name != whole.name
    assert short.sha256 != whole.sha256
    assert (short.model, short.hardware, short.seed_pairs) == (whole.model, whole.hardware, whole.seed_pairs)
    assert short.limits.model_copy(update={"budget_s": whole.limits.budget_s}) == whole.limits
    assert min(MIN_BUDGET_S, whole.limits.budget_s) <= short.limits.budget_s <= whole.limits.budget_s
    assert min(whole.quality.questions, MIN_QUESTIONS) <= short.quality.questions <= whole.quality.questions
    for before, after in zip(whole.scenarios, short.scenarios, strict=True):
        assert after.input_tokens == before.input_tokens
        assert min(MIN_OUTPUT_TOKENS, before.output_tokens) <= after.output_tokens <= before.output_tokens
        for p, q in zip(before.profiles, after.profiles, strict=True):
            assert (p.arrival, p.concurrency, p.rate_per_s) == (q.arrival, q.concurrency, q.rate_per_s)
            assert min(MIN_REQUESTS, p.requests) <= q.requests <= p.requests


def test_a_sixteenth_of_the_random_suite() -> None:
    short = scaled(load("h200-random-7b"), 1 / 16)
    assert short.name == "h200-random-7b-x0.0625"
    assert short.baseline_launches == 1
    assert [s.output_tokens for s in short.scenarios] == [64, 512, 64, 128]
    assert [[p.requests for p in s.profiles] for s in short.scenarios] == [[4], [4], [16, 8, 4], [4]]


def test_the_whole_suite_is_itself_and_bad_factors_are_refused() -> None:
    suite = load("laptop")
    assert scaled(suite, 1.0) is suite
    for factor in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(UserError, match="--scale"):
            scaled(suite, factor)
