"""Small valid records for tests of what reads them."""

from typing import Any

from inferencebench.gates.quality import Answer, QualityResult, verdict
from inferencebench.load.model import RequestSample
from inferencebench.run.record import Cost, MetricValue, Outcome, Provenance, Result
from inferencebench.suites.model import Metric, SeedPair

TOTAL = 60
BASELINE_CORRECT = 48


def quality(correct: int, answered: int = TOTAL) -> QualityResult:
    """A verdict over 60 questions of which the baseline knows 48; the right answers come first."""
    answers = [_answer(i, i < correct, i < answered) for i in range(TOTAL)]
    return verdict(answers, [_answer(i, i < BASELINE_CORRECT, True) for i in range(TOTAL)], 0.95, 1.0)


def _answer(number: int, correct: bool, answered: bool) -> Answer:
    error = None if answered else "timeout"
    return Answer(question_id=str(number), text="x", error=error, parsed="x", correct=correct and answered)


def request_sample(number: int, *, ttft_s: float = 0.5, tpot_s: float = 0.05, tokens: int = 11) -> RequestSample:
    """A successful request with one token per chunk."""
    return RequestSample(
        id=f"burst/{number:04d}",
        profile="burst",
        ok=True,
        error=None,
        status=200,
        scheduled_s=0.0,
        sent_s=0.0,
        first_s=ttft_s,
        end_s=ttft_s + tpot_s * (tokens - 1),
        prompt_tokens=100,
        max_tokens=tokens,
        usage_prompt_tokens=100,
        usage_completion_tokens=tokens,
        cached_tokens=None,
        output_tokens=tokens,
        first_chunk_tokens=1,
        finish_reason="length",
        text="word " * tokens,
        chunks=tokens,
        counted_tokens=tokens,
    )


def result(
    *,
    agent: str,
    scenario: str = "decode",
    speedup: float = 2.0,
    raw_speedup: float | None = None,
    pair: tuple[int, int] = (21, 1337),
    outcome: Outcome = Outcome.PASSED,
    ranked: bool = True,
    repeat: int = 0,
    **more: Any,
) -> Result:
    """A result record with the given score."""
    return Result(
        schema_version=1,
        suite="tiny",
        scenario=scenario,
        agent=agent,
        condition="default",
        seed_pair=SeedPair(dev=pair[0], eval=pair[1]),
        repeat=repeat,
        outcome=outcome,
        reason="",
        ranked=ranked,
        speedup=speedup,
        raw_speedup=raw_speedup,
        raw_speedup_ci95=None,
        metric=MetricValue(name=Metric.TPOT, value=0.02, baseline=0.08),
        measurement=None,
        quality=None,
        integrity=None,
        best_seen=None,
        baseline=None,
        cost=Cost(solve_s=1, measure_s=1, quality_s=1, total_s=3),
        provenance=Provenance(
            inferencebench="0",
            measurement_version=1,
            suite_sha256="",
            requests_sha256="",
            questions_sha256="",
            salt_sha256="",
            submission_sha256="",
            checkpoint_sha256="",
            hardware_sha256="",
            server_cpus=(0,),
            client_cpus=(1,),
            sandbox="bubblewrap",
            sandbox_verified=True,
            share_device=False,
            software={},
        ),
        **more,
    )
