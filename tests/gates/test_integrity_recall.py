"""Canaries: as many codes as the baseline repeats, and none of an earlier prompt."""

import pytest
from tests.gates.test_integrity_streams import evidence, honest

from inferencebench.gates.integrity.model import Recalled, Verdict
from inferencebench.gates.integrity.recall import Canary, FactEdit, at_most


def recalled(hits: int, total: int, stale: int = 0) -> tuple[Recalled, ...]:
    return tuple(Recalled(f"burst/c{n:03d}", n < hits, total - n <= stale) for n in range(total))


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ((20, 20), (60, 60), Verdict.PASS),
        ((17, 20), (57, 60), Verdict.PASS),
        ((13, 20), (57, 60), Verdict.REVIEW),
        ((6, 20), (57, 60), Verdict.FAIL),
        ((0, 6), (18, 18), Verdict.FAIL),
        ((3, 20), (8, 60), Verdict.NOT_APPLICABLE),
        ((3, 3), (18, 18), Verdict.NOT_APPLICABLE),
        ((0, 0), (0, 0), Verdict.NOT_APPLICABLE),
    ],
)
def test_codes_are_repeated_as_often_as_the_baseline_does(
    ours: tuple[int, int], theirs: tuple[int, int], verdict: Verdict
) -> None:
    found = evidence(honest(), canaries=recalled(*ours), reference_canaries=recalled(*theirs))
    assert Canary().run(found).verdict is verdict


def test_an_old_code_is_proof_of_a_memory() -> None:
    assert FactEdit().run(evidence(honest(), canaries=recalled(6, 6))).verdict is Verdict.PASS
    caught = FactEdit().run(evidence(honest(), canaries=recalled(5, 6, stale=1)))
    assert caught.verdict is Verdict.FAIL
    assert "burst/c005" in caught.reason
    assert FactEdit().run(evidence(honest())).verdict is Verdict.NOT_APPLICABLE


def test_the_binomial_tail_is_exact() -> None:
    assert at_most(0, 3, 0.5) == pytest.approx(1 / 8)
    assert at_most(3, 3, 0.9) == pytest.approx(1.0)
    assert at_most(1, 4, 0.25) == pytest.approx(0.75**4 + 4 * 0.25 * 0.75**3)
