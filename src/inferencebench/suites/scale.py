"""A shorter form of a suite, for machines that are lent by the minute. Its records never mix with full ones.

What changes is declared here and in the suite's name: output lengths, the counts of requests and questions and the
agent's budget shrink; prompts, concurrency, rates, temperatures and gates stay. So TTFT and TPOT stay comparable in
kind, while request rates are of shorter answers; a scaled suite has its own name, hash, directory and baseline.
"""

import math

from inferencebench.errors import UserError
from inferencebench.suites.model import Profile, Scenario, Suite

MIN_OUTPUT_TOKENS = 32
"""A TPOT of fewer tokens says little."""
MIN_REQUESTS = 4
MIN_QUESTIONS = 50
MIN_BUDGET_S = 360.0
"""A launch takes a minute or two however little is measured; a search needs a few."""


def scaled(suite: Suite, factor: float) -> Suite:
    """`suite` with output lengths and counts times `factor` (0 < factor <= 1), never below the minimums above.

    Counts of a profile do not fall below its concurrency divided by 4, so that a burst stays a burst. The baseline is
    launched once. Raises UserError for a factor outside the range."""
    if not 0 < factor <= 1:
        raise UserError(f"--scale {factor:g}: a factor above 0 and at most 1 (1 is the whole suite)")
    if factor == 1:
        return suite
    return Suite.model_validate(
        suite.model_dump()
        | {
            "name": f"{suite.name}-x{factor:g}",
            "title": f"{suite.title}, scaled by {factor:g}",
            "baseline_launches": 1,
            "limits": suite.limits.model_dump() | {"budget_s": _budget_s(suite.limits.budget_s, factor)},
            "quality": suite.quality.model_dump()
            | {"questions": _count(suite.quality.questions, factor, MIN_QUESTIONS)},
            "scenarios": [_scenario(scenario, factor).model_dump() for scenario in suite.scenarios],
        }
    )


def _scenario(scenario: Scenario, factor: float) -> Scenario:
    output_tokens = _count(scenario.output_tokens, factor, MIN_OUTPUT_TOKENS)
    warmup = scenario.warmup_output_tokens
    return scenario.model_copy(
        update={
            "output_tokens": output_tokens,
            "warmup_output_tokens": min(warmup, output_tokens) if warmup else None,
            "profiles": tuple(_profile(profile, factor) for profile in scenario.profiles),
        }
    )


def _profile(profile: Profile, factor: float) -> Profile:
    least = max(MIN_REQUESTS, profile.concurrency // 4)
    return profile.model_copy(update={"requests": _count(profile.requests, factor, least)})


def _budget_s(full: float, factor: float) -> float:
    return max(min(full, MIN_BUDGET_S), full * factor)


def _count(full: int, factor: float, least: int) -> int:
    return max(min(full, least), math.ceil(full * factor))
