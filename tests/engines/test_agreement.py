"""Is llama.cpp on a converted checkpoint the same model? Its next token against the reference's, teacher-forced.

Also the answer to: which weight formats are honest controls for the gates.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from inferencebench.models.store import Checkpoint
from inferencebench.suites.model import Corpus
from inferencebench.workload.corpus import load_corpus
from tests.engines.conftest import LiveServer

POSITIONS = 96


class Demand(NamedTuple):
    """The least share of equal next tokens over the first `positions`."""

    share: float
    positions: int


DEMANDS = {"f16": Demand(0.95, POSITIONS), "q8_0": Demand(0.85, 64)}
"""Measured over 512 positions: f16 0.996, q4_1 0.973 (the weights lie on a 4-bit grid of that kind), q8_0 0.959,
q5_1 0.836, q4_0 0.746. A wrong RoPE permutation or pre-tokenizer leaves less than half."""


@pytest.fixture(scope="module")
def prose(tokenizer: Any) -> list[int]:
    """A stretch of the shipped corpus, in tokens."""
    text = max(load_corpus(Corpus(name="offline")).documents, key=lambda document: len(document.text)).text
    return list(tokenizer.encode(text[: 8 * POSITIONS]))[: POSITIONS + 1]


@pytest.fixture(scope="module")
def reference_choices(smollm2: Checkpoint, prose: list[int]) -> list[int]:
    """The float32 model's most likely next token after each prefix."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(smollm2.path, dtype=torch.float32)
    with torch.no_grad():
        return list(model(torch.tensor([prose[:POSITIONS]])).logits[0].argmax(dim=-1).tolist())


def _next_token(server: LiveServer, prefix: list[int]) -> int:
    body = {"prompt": prefix, "n_predict": 1, "temperature": 0, "cache_prompt": True, "return_tokens": True}
    answer = server.client.post("/completion", json=body)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["tokens"][0])


@pytest.mark.parametrize("weights", DEMANDS)
def test_next_tokens_agree_with_the_reference(
    weights: str, start_llamacpp: Callable[..., Any], prose: list[int], reference_choices: list[int]
) -> None:
    demand = DEMANDS[weights]
    assert len(prose) > POSITIONS
    with start_llamacpp("--weights", weights, "--parallel", "1") as server:
        chosen = [_next_token(server, prose[: end + 1]) for end in range(demand.positions)]
    equal = sum(a == b for a, b in zip(chosen, reference_choices[: demand.positions], strict=True))
    assert equal / demand.positions >= demand.share, f"{weights} agrees on {equal} of {demand.positions}"


def test_tokenizes_as_the_checkpoint_does(start_llamacpp: Callable[..., Any], tokenizer: Any) -> None:
    documents = load_corpus(Corpus(name="offline")).documents
    texts = [document.text[:2000] for document in documents[:: len(documents) // 40]]
    texts += [
        "In 1984,   37 + 128\n\n\tx=12345",
        "naïve café ½²Ⅷ 漢字 🙂🏽 don't I'LL",
        "a\u00a0b\r\n\r\n  c",
        "<|im_start|>x<|im_end|>",
    ]
    with start_llamacpp("--parallel", "1", "--ctx", "256", "--no-warmup") as server:
        for text in texts:
            body = {"content": text, "parse_special": True, "add_special": False}
            assert server.client.post("/tokenize", json=body).json()["tokens"] == list(tokenizer.encode(text)), text
