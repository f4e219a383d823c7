"""How long a run takes, from its suite alone: what it is expected to take, and what it may take at the baseline's pace.

The reference answers one request after another, so a profile's time is its requests times that of one."""

from typing import NamedTuple

from inferencebench.run.spec import RunSpec
from inferencebench.suites.model import Profile, Scenario, Suite

LAUNCH_S = 300.0
"""One launch, readiness included; a suite's limit if that is less."""
TOKEN_S = {"cuda": 0.041, "cpu": 0.085}
"""The reference's time per output token: a 7B model on an H100 (the paper's baseline; 22 ms in docs/h100.md), a 135M
model on one core."""
PROMPT_TOKEN_S = {"cuda": 0.00012, "cpu": 0.004}
"""Its time per prompt token there: 840 ms for some 7,200 tokens, 1.5 s for 400."""
ANSWER_TOKENS = 256
"""Of a quality question: an answer ends where the model ends it, which is early for most."""
SPEEDUP = 4.0
"""Expected of what is not the baseline, for the plan's hours."""
SCORING_S = 300.0
"""Texts scored by the reference, and the checks."""


class Estimate(NamedTuple):
    """Seconds of one run, the agent's budget included."""

    expected_s: float
    longest_s: float
    """At the baseline's pace, with the longest start-up that the suite allows."""


def estimate(spec: RunSpec) -> Estimate:
    """What a run takes: the budget if an agent works, the launches, the load, and the questions."""
    suite, scenario = spec.suite, next(s for s in spec.suite.scenarios if s.name == spec.scenario)
    launches = suite.baseline_launches if spec.is_baseline else 1
    budget_s = 0.0 if spec.agent.startswith("engine:") else spec.budget_s
    pace_s = launches * _load_s(suite, scenario) + _questions_s(suite)
    ready_s = suite.limits.ready_s
    return Estimate(
        budget_s + launches * min(LAUNCH_S, ready_s) + pace_s / (1.0 if spec.is_baseline else SPEEDUP),
        budget_s + launches * ready_s + pace_s + SCORING_S,
    )


def _load_s(suite: Suite, scenario: Scenario) -> float:
    def request_s(output_tokens: int) -> float:
        kind = suite.hardware.kind
        return scenario.input_tokens * PROMPT_TOKEN_S[kind] + output_tokens * TOKEN_S[kind]

    def profile_s(profile: Profile) -> float:
        offered_s = profile.requests / profile.rate_per_s if profile.rate_per_s else 0.0
        return max(offered_s, profile.requests * request_s(scenario.output_tokens))

    warmup_tokens = scenario.warmup_output_tokens or scenario.output_tokens
    return sum(map(profile_s, scenario.profiles)) + scenario.warmup_requests * request_s(warmup_tokens)


def _questions_s(suite: Suite) -> float:
    quality = suite.quality
    return quality.questions * min(quality.max_tokens, ANSWER_TOKENS) * TOKEN_S[suite.hardware.kind]
