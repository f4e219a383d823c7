"""What a search hands to and gets from whatever runs its trials, a real machine or a simulated one."""

from enum import StrEnum
from math import inf
from typing import Protocol

from pydantic import Field

from inferencebench.suites.model import Record


class Status(StrEnum):
    """How a trial ended."""

    OK = "ok"
    CRASHED = "crashed"
    """The server ended, hung or refused before it was ready."""
    INVALID = "invalid"
    """It served, but too few requests succeeded."""
    INFRASTRUCTURE = "infrastructure"
    """The harness's own fault: tried once more, never told to a sampler."""


class Kind(StrEnum):
    """Why a trial was run."""

    DEFAULT = "default"
    PRESET = "preset"
    PROPOSED = "proposed"
    NEIGHBOUR = "neighbour"
    """One setting away from the best so far."""
    CONFIRMATION = "confirmation"
    VERIFICATION = "verification"
    """After the decision, on a launch that the decision did not see."""


class Candidate(Record):
    """One configuration of one engine."""

    engine: str
    configuration: dict[str, bool | int | float | str] = Field(default_factory=dict)

    @property
    def key(self) -> str:
        """Equal for equal candidates."""
        return f"{self.engine} {sorted(self.configuration.items())}"


class Gate(Record):
    """Answers to quality questions: the candidate's, and the reference's that they are held against."""

    correct: int
    total: int
    reference_share: float
    """Accuracy of the model's own default."""
    standard_error: float
    """Of the difference to `reference_share`, as a share of it; 0 where unknown."""

    @property
    def ratio(self) -> float:
        """Accuracy relative to the reference's."""
        share = self.correct / self.total if self.total else 0.0
        return share / self.reference_share if self.reference_share else 1.0


class Reading(Record):
    """What one launch of a candidate showed. Seconds are of the search's clock."""

    status: Status
    reason: str = ""
    loss: float | None = None
    """The objective, smaller is better: a latency, or one over a rate."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """ttft_s, tpot_s, requests_per_s, …: for limits and for the Pareto front."""
    launch_s: float = 0.0
    measure_s: float = 0.0
    gate_s: float = 0.0
    gate: Gate | None = None

    @property
    def seconds(self) -> float:
        """All that the launch cost."""
        return self.launch_s + self.measure_s + self.gate_s

    @property
    def told(self) -> str:
        """In one line."""
        if self.loss is None:
            why = (self.reason.splitlines() or ["no reason"])[0][:120]
            return f"{self.status} after {self.seconds:.0f} s ({why})"
        gate = "" if self.gate is None else f", accuracy ratio {self.gate.ratio:.3f}"
        return f"loss {self.loss:.5g}{gate}, {self.seconds:.0f} s"


class Machine(Protocol):
    """Runs trials, one at a time, under a budget."""

    def elapsed_s(self) -> float:
        """Seconds used of the budget: launches, measurements and confirmations alike."""

    def run(self, candidate: Candidate, questions: int, deadline_s: float, worth: float = inf) -> Reading:
        """Launch, measure for a limited time, and ask so many questions where the loss is at most `worth`;
        `deadline_s` is when the budget ends."""

    @property
    def full_questions(self) -> int:
        """How many questions a confirmation asks; 0 where there is no gate: the reference answers none rightly."""
