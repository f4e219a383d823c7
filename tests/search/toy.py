"""A machine of the tests' own, and a search on it."""

import random
from math import inf
from pathlib import Path

from inferencebench.search import space
from inferencebench.search.journal import Journal
from inferencebench.search.outcome import Outcome
from inferencebench.search.policy import Policy
from inferencebench.search.protocol import Search
from inferencebench.search.samplers import Sampler, make
from inferencebench.search.trials import Candidate, Gate, Reading, Status
from inferencebench.suites.model import ScenarioName

SPACE = space.parse(
    """
name: toy
engine: toy
parameters:
  - {name: speed, type: ordinal, values: [1, 2, 3, 4, 5], default: 0, flag: --speed}
  - {name: crash, type: bool, values: [true], flag: --crash}
  - {name: cheat, type: bool, values: [true], flag: --cheat}
  - {name: banned, type: bool, values: [true], flag: --banned}
forbid:
  - {all: {banned: [true]}, source: the toy engine's own manual}
presets: {decode: [{speed: 2}]}
""",
    "toy",
)


class Toy:
    """10 s a trial; faster with `speed`, three times as fast but wrong with `cheat`."""

    full_questions = 400

    def __init__(self, worse: bool = False, spent_s: float = 0.0, die_after: int | None = None) -> None:
        self.now_s, self.worse, self.die_after = spent_s, worse, die_after
        self.seen: list[Candidate] = []
        self.asked: list[tuple[str, int]] = []
        self.noise = random.Random(0)

    def elapsed_s(self) -> float:
        return self.now_s

    def run(self, candidate: Candidate, questions: int, deadline_s: float, worth: float = inf) -> Reading:
        self.seen.append(candidate)
        self.asked.append((candidate.key, questions))
        if self.die_after is not None and len(self.seen) > self.die_after:
            raise KeyboardInterrupt
        c = candidate.configuration
        if c.get("crash"):
            self.now_s += 2
            return Reading(status=Status.CRASHED, reason="boom", launch_s=2)
        self.now_s += 10
        gain = float(c.get("speed", 0)) * (-0.1 if self.worse else 0.1)
        loss = (1 - gain) / (3 if c.get("cheat") else 1) * self.noise.uniform(0.98, 1.02)
        right = 0.5 if c.get("cheat") else 0.8
        gate = Gate(correct=int(right * questions), total=questions, reference_share=0.8, standard_error=0.01)
        times = {"launch_s": 5.0, "measure_s": 4.0, "gate_s": 1.0}
        return Reading.model_validate(
            {"status": "ok", "loss": loss, "gate": gate, "metrics": {"ttft_mean_s": loss}} | times
        )


def search(
    machine: Toy, path: Path, budget_s: float = 600, names: tuple[str, ...] = ("toy",), **policy: object
) -> Outcome:
    made: dict[str, Sampler] = {name: make("random", SPACE, 1) for name in names}
    return Search(
        dict.fromkeys(names, SPACE), made, ScenarioName.DECODE, machine,
        Policy(budget_s=budget_s, **policy), Journal(path, "head"),  # type: ignore[arg-type]
    ).run()  # fmt: skip
