"""What an integrity check takes and gives."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple, Protocol, Self

from pydantic import Field

from inferencebench.doctor.hardware import Peaks
from inferencebench.gates.integrity.likelihood import Likelihood
from inferencebench.gates.integrity.static.model import Finding
from inferencebench.gates.judge.model import Panel
from inferencebench.gates.quality import Answer
from inferencebench.load.model import ChunkSample, Measurement, RequestSample
from inferencebench.suites.model import Record, Scenario, Suite
from inferencebench.workload.model import SpeedRequest

TEMPLATE_TOKENS = 64
"""Default upper bound of what a chat template puts before the nonce of a prompt."""


class Verdict(StrEnum):
    """What a check, or all of them, found."""

    PASS = "pass"
    REVIEW = "review"
    """Suspicious or undecided: a person has to look."""
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"
    """The evidence for this check is not there."""


class CheckResult(Record):
    """What one check found, with the numbers that decided."""

    name: str
    verdict: Verdict
    numbers: dict[str, float] = Field(default_factory=dict)
    """Measured quantities, units in their names."""
    sample_size: int
    """How many requests (or processes, ...) were looked at."""
    threshold: str
    """The rule, with its value in this run."""
    reason: str
    """One line: why this verdict."""


class IntegrityResult(Record):
    """All checks of a run and what they add up to; never `not_applicable`."""

    checks: tuple[CheckResult, ...]
    verdict: Verdict


class AuditBand(Record):
    """How far a re-tokenized count may be from the server's own: the larger of the two bounds.

    Text does not determine its tokens, and it hides special ones, so the band is calibrated on the reference."""

    absolute_tokens: int = 3
    relative: float = 0.02

    def allows(self, counted: int, expected: int) -> bool:
        """Whether `counted` tokens are as good as `expected`."""
        return abs(counted - expected) <= max(self.absolute_tokens, self.relative * expected)


UNCALIBRATED = AuditBand()


@dataclass(frozen=True)
class ServerEnd:
    """What was seen of one measured server by its end; None where nobody could look."""

    unrouted: int | None = None
    """How often it wanted to send to an address that no route leads to, since it was ready."""
    opened: tuple[tuple[str, int], ...] | None = None
    """Large files that were opened meanwhile, by their path inside, with their bytes."""
    weights_bytes: int = 0
    """Of the pinned weights."""

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Self:
        """From its line in the log of events."""
        opened = event.get("opened")
        files = None if opened is None else tuple((str(path), int(size)) for path, size in opened)
        return cls(event.get("unrouted"), files, event.get("weights_bytes", 0))


class Recalled(NamedTuple):
    """What an answer made of the code in its prompt."""

    id: str
    code: bool
    """It has the code."""
    stale: bool
    """It has the code that the same document had in another prompt, and never in this one."""


@dataclass(frozen=True)
class Evidence:
    """Everything the checks may look at, from one relaunched and measured submission."""

    suite: Suite
    scenario: Scenario
    peaks: Peaks | None
    """Calibrated peaks of this machine; None where the suite states those of its hardware."""
    requests: tuple[RequestSample, ...]
    """Timed requests of all launches, one launch after the other; no warm-up."""
    chunks: tuple[ChunkSample, ...]
    planned: tuple[SpeedRequest, ...]
    """The request set that every launch was sent; its warm-up requests are ignored."""
    survivors: tuple[int, ...] | None
    """Host pids that outlived the sandbox; None: nobody looked."""
    measurements: tuple[Measurement, ...] = ()
    """One per launch."""
    token_band: AuditBand = UNCALIBRATED
    """Calibrated on the reference by `tokens.calibrate_band`."""
    shared_prefix_tokens: int = TEMPLATE_TOKENS
    """Upper bound of the prompt tokens before the nonce, which an honest prefix cache skips."""
    shorts: tuple[RequestSample, ...] = ()
    """The short probes of all launches."""
    likelihoods: tuple[Likelihood, ...] | None = None
    """The timed texts under the reference model; None: not scored."""
    reference_likelihoods: tuple[Likelihood, ...] | None = None
    """The same of the baseline's own texts: what re-tokenization and arithmetic alone do to an honest server."""
    answers: tuple[Answer, ...] = ()
    reference_answers: tuple[Answer, ...] = ()
    """The baseline's answers to the same questions."""
    names: tuple[str, ...] | None = None
    """Host names that the server asked for; None: nobody listened."""
    canaries: tuple[Recalled, ...] = ()
    """The canaries of all launches."""
    reference_canaries: tuple[Recalled, ...] = ()
    """The baseline's."""
    ends: tuple[ServerEnd, ...] = ()
    """One per measured server."""
    panel: Panel | None = None
    """What the judges said of this evidence; None: they were not asked."""
    findings: tuple[Finding, ...] | None = None
    """Of the static rules over the submission; None: not looked at."""
    forced_engine: str | None = None
    """Of the run's condition; None: any engine may be used."""
    engine: str | None = None
    """What the submission's launcher starts; None: no engine that is known."""
    forces_length: bool = True
    """Whether that engine can be told to go on past the end of a text."""

    @cached_property
    def succeeded(self) -> tuple[RequestSample, ...]:
        """The requests that were answered, of all launches."""
        return tuple(r for r in self.requests if r.ok)

    @cached_property
    def launches(self) -> tuple[tuple[RequestSample, ...], ...]:
        """The requests by launch: the n-th sample of one id belongs to the n-th launch."""
        seen: Counter[str] = Counter()
        launches: list[list[RequestSample]] = []
        for sample in self.requests:
            number = seen[sample.id]
            seen[sample.id] += 1
            if number == len(launches):
                launches.append([])
            launches[number].append(sample)
        return tuple(map(tuple, launches))


class Check(Protocol):
    """One deterministic check. `required`: if it finds nothing to look at, a person has to."""

    name: str
    required: bool

    def run(self, evidence: Evidence) -> CheckResult:
        """Look at the evidence. A crash counts as a review."""
