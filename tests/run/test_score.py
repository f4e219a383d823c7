"""Outcome table, speedup and intervals."""

import math

import pytest

from inferencebench.gates.integrity.model import CheckResult, IntegrityResult, Verdict
from inferencebench.gates.quality import QualityResult
from inferencebench.run import score
from inferencebench.run.outcome import Decision, Evidence, decide
from inferencebench.run.record import Outcome, ServerFailure
from inferencebench.suites.model import Metric
from tests.run.records import quality, request_sample


def _integrity(verdict: Verdict) -> IntegrityResult:
    check = CheckResult(name="floor", verdict=verdict, sample_size=3, threshold="t", reason="because")
    return IntegrityResult(checks=(check,), verdict=verdict)


CLEAN = _integrity(Verdict.PASS)


@pytest.mark.parametrize(
    ("evidence", "outcome"),
    [
        (Evidence("disk", ServerFailure(reason="x"), _integrity(Verdict.FAIL), None), Outcome.INFRASTRUCTURE_ERROR),
        (Evidence(None, ServerFailure(reason="exit 1"), None, None), Outcome.SERVER_FAILED),
        (Evidence(None, None, _integrity(Verdict.FAIL), quality(0)), Outcome.INTEGRITY_FLAGGED),
        (Evidence(None, None, CLEAN, quality(60, answered=40)), Outcome.QUALITY_INCOMPLETE),
        (Evidence(None, None, CLEAN, None), Outcome.QUALITY_INCOMPLETE),
        (Evidence(None, None, _integrity(Verdict.REVIEW), quality(10)), Outcome.QUALITY_FAILED),
        (Evidence(None, None, _integrity(Verdict.REVIEW), quality(60)), Outcome.REVIEW_PENDING),
        (Evidence(None, None, CLEAN, quality(60)), Outcome.PASSED),
    ],
)
def test_the_table_decides_by_precedence(evidence: Evidence, outcome: Outcome) -> None:
    decision = decide(evidence)
    assert decision.outcome is outcome
    assert decision.reason


def test_latencies_and_rates_are_compared_the_right_way_round() -> None:
    assert score.raw_speedup(Metric.TPOT, 0.01, 0.08) == pytest.approx(8)
    assert score.raw_speedup(Metric.REQUESTS_PER_S, 8.0, 2.0) == pytest.approx(4)
    assert score.raw_speedup(Metric.TTFT, None, 0.08) is None


@pytest.mark.parametrize(
    ("outcome", "raw", "is_baseline", "expected"),
    [
        (Outcome.PASSED, 4.0, False, 4.0),
        (Outcome.PASSED, 0.7, False, 1.0),
        (Outcome.QUALITY_FAILED, 9.0, False, 1.0),
        (Outcome.SERVER_FAILED, None, False, 1.0),
        (Outcome.PASSED, 1.04, True, 1.0),
    ],
)
def test_only_passed_and_faster_counts(outcome: Outcome, raw: float | None, is_baseline: bool, expected: float) -> None:
    assert score.speedup(Decision(outcome, ""), raw, is_baseline=is_baseline) == expected


def test_the_interval_covers_the_ratio_and_narrows_with_samples() -> None:
    def launch(n: int, ttft_s: float) -> list:  # type: ignore[type-arg]
        return [request_sample(i, ttft_s=ttft_s * (1 + 0.1 * math.sin(i))) for i in range(n)]

    def ratio(n: int) -> tuple[float, float] | None:
        ours, theirs = launch(n, 0.5), launch(n, 2.0)
        return score.speedup_interval(
            score.bootstrap([ours], Metric.TTFT, stream=0), score.bootstrap([theirs], Metric.TTFT, stream=1)
        )

    few, many = ratio(4), ratio(400)
    assert few is not None
    assert many is not None
    assert few[0] < 4 < few[1]
    assert many[0] < 4.0 < many[1]
    assert many[1] - many[0] < (few[1] - few[0]) / 3


def test_rates_and_single_requests_have_no_interval() -> None:
    one = [request_sample(0, ttft_s=0.5)]
    assert score.bootstrap([one], Metric.TTFT, stream=0) is None
    assert score.bootstrap([one * 5], Metric.REQUESTS_PER_S, stream=0) is None


def test_quality_result_fixture_is_a_record() -> None:
    assert isinstance(quality(60), QualityResult)
