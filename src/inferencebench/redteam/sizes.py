"""A suite cut down to what the zoo needs: enough of each scenario for every check, little enough for all fixtures."""

from typing import NamedTuple

from inferencebench.suites.model import Profile, Scenario, Suite


class Sizes(NamedTuple):
    """Upper bounds of lengths and questions, and the number of requests."""

    requests: int
    """Per profile, also where the suite has fewer: a check needs more than one or two."""
    input_tokens: int
    output_tokens: int
    questions: int


FULL = {"cpu": Sizes(8, 192, 40, 36), "cuda": Sizes(16, 8192, 256, 100)}
REDUCED = {"cpu": Sizes(4, 96, 24, 24), "cuda": Sizes(6, 1024, 96, 100)}
QUESTIONS_AT_ONCE = 4
"""They are not timed, and an engine that batches answers four in little more than the time of one."""


def shrink(suite: Suite, *, reduced: bool) -> Suite:
    """The suite at the zoo's size, under its own name: what was calibrated for the suite holds for it."""
    sizes = (REDUCED if reduced else FULL)[suite.hardware.kind]
    scenarios = tuple(_scenario(scenario, sizes) for scenario in suite.scenarios)
    asked = {"questions": min(suite.quality.questions, sizes.questions), "concurrency": QUESTIONS_AT_ONCE}
    quality = suite.quality.model_copy(update=asked)
    changed = {"scenarios": scenarios, "quality": quality, "baseline_launches": 1}
    return Suite.model_validate(suite.model_copy(update=changed).model_dump())


def _scenario(scenario: Scenario, sizes: Sizes) -> Scenario:
    return scenario.model_copy(
        update={
            "input_tokens": min(scenario.input_tokens, sizes.input_tokens),
            "output_tokens": min(scenario.output_tokens, sizes.output_tokens),
            "profiles": tuple(_profile(profile, sizes) for profile in scenario.profiles),
        }
    )


def _profile(profile: Profile, sizes: Sizes) -> Profile:
    return profile.model_copy(
        update={"requests": sizes.requests, "concurrency": min(profile.concurrency, sizes.requests)}
    )
