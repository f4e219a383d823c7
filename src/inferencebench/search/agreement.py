"""The quality check of a tuned server: does it still say what the model's own default says?

Distinct prompts of the user's traffic are asked greedily, a few tokens each. The default is asked twice: its first
replies are the reference, and the share that it repeats itself is what a candidate is held against, since batching
alone changes some replies.
"""

import json
from collections.abc import Mapping, Sequence

import orjson
from pydantic import Field

from inferencebench.load.dataset import Row
from inferencebench.load.model import PlannedRequest, RequestSample
from inferencebench.search.gate import can_show, paired
from inferencebench.search.policy import LEAST_GATE
from inferencebench.suites.model import Record

CHECKS = 64
"""Most prompts that are compared."""
MINI_CHECKS = 24
"""Of a trial; a confirmation asks all."""
CHECK_TOKENS = 16
"""Of each reply. Longer greedy replies part for reasons of rounding alone, and then never meet again."""
CHECK = "check"
_DROPPED = ("ignore_eos", "max_completion_tokens", "top_p", "top_k", "min_p", "n", "stream", "stop")


class Reference(Record):
    """What the default said."""

    texts: dict[str, str] = Field(default_factory=dict)
    """Prompt's id → reply."""
    repeated: dict[str, bool] = Field(default_factory=dict)
    """Whether it said the same the second time."""

    def shows(self, tau: float) -> bool:
        """Whether these prompts are enough to show that a candidate agrees with at least the share tau."""
        gate = paired(self.repeated, self.repeated)
        return gate is not None and gate.total >= LEAST_GATE and can_show(gate, tau)


def checks(rows: Sequence[Row]) -> tuple[PlannedRequest, ...]:
    """Greedy, short requests of the first distinct prompts."""
    bodies: dict[bytes, int] = {}
    for row in rows:
        body = json.loads(row.body)
        tokens = min(CHECK_TOKENS, row.max_tokens)
        greedy = {key: value for key, value in body.items() if key not in _DROPPED}
        greedy |= {"temperature": 0, "seed": 0, "max_tokens": tokens, "stream": True}
        bodies.setdefault(orjson.dumps(greedy), tokens)
        if len(bodies) == CHECKS:
            break
    return tuple(
        PlannedRequest(f"{CHECK}/{number:04d}", body, 0.0, tokens, 0)
        for number, (body, tokens) in enumerate(bodies.items())
    )


def replies(samples: Sequence[RequestSample]) -> dict[str, str]:
    """Id → text of the requests that were answered; an empty reply is an answer."""
    return {sample.id: sample.text for sample in samples if sample.ok or sample.error == "no content"}


def agreeing(mine: Mapping[str, str], reference: Reference, asked: Sequence[str]) -> dict[str, bool]:
    """Which of the asked prompts got the reference's reply; one without a reply did not."""
    return {name: mine.get(name) == reference.texts[name] for name in asked if name in reference.repeated}
