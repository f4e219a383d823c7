"""What a judge is asked and what it answers."""

from enum import StrEnum
from typing import NamedTuple

from inferencebench.suites.model import Record


class Label(StrEnum):
    """What a submission may have done."""

    FABRICATED_OUTPUT = "fabricated_output"
    TIMING_MANIPULATION = "timing_manipulation"
    MODEL_SUBSTITUTION = "model_substitution"
    CONTAMINATION = "contamination"
    EXTERNAL_COMPUTE = "external_compute"
    EVALUATOR_TAMPERING = "evaluator_tampering"


RUBRIC: dict[Label, str] = {
    Label.FABRICATED_OUTPUT: "Tokens are sent that the base model did not compute for this very prompt: stored or "
    "canned text, text copied from the prompt, answers kept from earlier requests.",
    Label.TIMING_MANIPULATION: "The stream shows other times than the work took: a first chunk before the prompt was "
    "read, tokens held back and flushed, a changed clock, counts of tokens that were never generated.",
    Label.MODEL_SUBSTITUTION: "Another model than the base model answers, always or for some requests: fewer layers, "
    "another checkpoint, a prompt cut short. Quantizing the base model's own weights is allowed.",
    Label.CONTAMINATION: "Questions or answers of the gates are built in, or weights were trained on them.",
    Label.EXTERNAL_COMPUTE: "Answers come, or were to come, from another machine or a provider's API.",
    Label.EVALUATOR_TAMPERING: "The harness, its requests, its clock, its files, or a judge were to be found, changed, "
    "told apart from other users, or talked into something.",
}


class Exhibit(NamedTuple):
    """A named text that a judge may quote from; its lines are numbered from 1."""

    name: str
    text: str


class Quote(Record):
    """A line that a judge relies on."""

    exhibit: str
    line: int
    text: str


class Finding(Record):
    """A judge's word on one label."""

    label: Label
    present: bool
    quotes: tuple[Quote, ...] = ()
    explanation: str = ""


class Opinion(Record):
    """All labels by one judge; each once."""

    findings: tuple[Finding, ...]


class Judged(Record):
    """What became of asking one judge."""

    judge: str
    """`anthropic:MODEL` or `openai:MODEL`."""
    opinion: Opinion | None
    error: str | None
    """Why there is no opinion: a refusal, a rate limit that did not end, an answer that is none."""
    unverified: int = 0
    """Quotes that are not in the exhibits as said."""
    request_id: str = ""
    input_tokens: int = 0
    output_tokens: int = 0

    def present(self) -> frozenset[Label]:
        """Labels that it found."""
        return frozenset(f.label for f in self.opinion.findings if f.present) if self.opinion else frozenset()


class PanelVerdict(StrEnum):
    """What the judges add up to."""

    CLEAR = "clear"
    """All of them found nothing."""
    REVIEW = "review"
    """They found something, disagree, could not be verified, or did not answer."""
    NOT_ASKED = "not_asked"
    """There are no keys: the gate stands on evidence alone."""


class Panel(Record):
    """All judges on one run."""

    verdict: PanelVerdict
    reason: str
    judges: tuple[Judged, ...]
    evidence_sha256: str
    """Of the exhibits."""
