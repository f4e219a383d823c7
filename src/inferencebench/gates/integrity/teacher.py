"""The reference model reads what a server wrote: `python -m inferencebench.gates.integrity.teacher JOB.json OUT.jsonl`.

A process of its own, outside every sandbox, after the server is gone: it needs the memory (or the GPU), and its end
gives them back. Deterministic: one text at a time, float32 on a CPU, the checkpoint's type on a GPU.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from inferencebench.engines.pytorch.reference import Reference, ReferenceOptions
from inferencebench.errors import UserError
from inferencebench.files import write_jsonl
from inferencebench.gates.integrity.likelihood import CLIP_NATS, OPENING_TOKENS, Likelihood, Score
from inferencebench.suites.model import Record
from inferencebench.workload.model import Message

if TYPE_CHECKING:
    import torch

GRAM = 8
"""A token that ends a run of this many tokens seen before in its text is left out: loops would count one draw often."""


class Text(Record):
    """One text to score."""

    id: str
    messages: tuple[Message, ...]
    text: str
    temperature: float
    forced: bool
    """End tokens could not be generated."""


class Job(Record):
    """What the process is given."""

    checkpoint: str
    threads: int | None
    device: str
    texts: tuple[Text, ...]


def score(reference: Reference, text: Text) -> Likelihood:
    """Teacher-force one text. All shapes are [tokens] or [tokens, vocabulary]."""
    import torch

    prompt = reference.prompt_ids([message.model_dump() for message in text.messages], {})
    written = reference.tokenizer(text.text, add_special_tokens=False)["input_ids"]
    written = written[: max(0, reference.context_tokens - len(prompt))]
    if not written:
        return Likelihood(id=text.id, whole=_sum([], [], []), opening=_sum([], [], []))
    ids = torch.tensor([[*prompt, *written]], device=reference.device)
    with torch.inference_mode():
        logits = reference.model(ids, logits_to_keep=len(written) + 1).logits[0, :-1].float()
        if text.forced:
            logits[:, sorted(reference.end_tokens)] = -torch.inf
        chosen = torch.tensor(written, device=reference.device)
        deficits, variances, top1 = _deficits(logits, chosen, text.temperature)
        logp = _logp(logits, chosen, text.temperature)
    fresh = _fresh(written)
    kept = [row for row, keep in zip(zip(deficits, variances, top1, strict=True), fresh, strict=True) if keep]
    opening = kept[:OPENING_TOKENS]
    return Likelihood(id=text.id, whole=_sum(*_columns(kept)), opening=_sum(*_columns(opening)), logp_nats=logp)


def _logp(logits: "torch.Tensor", chosen: "torch.Tensor", temperature: float) -> float | None:
    """Log-probability of drawing exactly these tokens; no token counts for more than the clip."""
    import torch

    if not temperature:
        return None
    said = torch.log_softmax(logits / temperature, dim=-1).gather(1, chosen[:, None])
    return float(said.clamp(min=-CLIP_NATS).sum())


def _deficits(
    logits: "torch.Tensor", chosen: "torch.Tensor", temperature: float
) -> tuple[list[float], list[float], list[bool]]:
    """Deficit, its variance under honest draws, and whether the token is the most likely one; per token."""
    import torch

    logs = torch.log_softmax(logits / (temperature or 1.0), dim=-1)
    said = logs.gather(1, chosen[:, None])[:, 0]
    best = logs.max(dim=-1).values
    if temperature:
        weights = logs.exp()
        finite = torch.where(weights > 0, logs, torch.zeros_like(logs))
        expected = (weights * finite).sum(-1)
        variance = (weights * finite**2).sum(-1) - expected**2
    else:
        expected, variance = best, torch.zeros_like(best)
    deficit = (expected - said).clamp(max=CLIP_NATS)
    return deficit.tolist(), variance.clamp(min=0).tolist(), (said >= best).tolist()


def _fresh(tokens: Sequence[int]) -> list[bool]:
    """Whether each token ends a run of GRAM tokens that is new in the text."""
    seen: set[tuple[int, ...]] = set()
    fresh = []
    for end in range(1, len(tokens) + 1):
        gram = tuple(tokens[max(0, end - GRAM) : end])
        fresh.append(len(gram) < GRAM or gram not in seen)
        seen.add(gram)
    return fresh


def _columns(rows: Sequence[tuple[float, float, bool]]) -> tuple[list[float], list[float], list[bool]]:
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]


def _sum(deficits: Sequence[float], variances: Sequence[float], top1: Sequence[bool]) -> Score:
    return Score(
        tokens=len(deficits), deficit_nats=sum(deficits), variance_nats2=sum(variances), top1=sum(map(bool, top1))
    )


def main(arguments: Sequence[str]) -> int:
    """Score a job. Raises UserError for a job that cannot be read."""
    job_file, out = map(Path, arguments)
    try:
        job = Job.model_validate_json(job_file.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(f"{job_file}: no job of the teacher ({str(error).splitlines()[0]})") from None
    options: dict[str, Any] = {"dtype": "float32"} if job.device == "cpu" else {}
    reference = Reference(ReferenceOptions(Path(job.checkpoint), device=job.device, threads=job.threads, **options))
    write_jsonl(out, [json.loads(score(reference, text).model_dump_json()) for text in job.texts])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
