"""The gate on the real model: an honest copy passes, and damaged ones fail without doubt."""

from collections.abc import Callable
from pathlib import Path

import pytest

from inferencebench import paths
from inferencebench.gates.quality import Answer, grade, verdict
from inferencebench.models.store import ensure_checkpoint
from inferencebench.models.surgery import drop_layers, fake_quantize
from inferencebench.suites.load import load
from inferencebench.workload.model import Question
from inferencebench.workload.questions import build_questions

QUESTIONS = 24
SALT = bytes(range(32))
Ask = Callable[[Path], list[Answer]]


@pytest.fixture(scope="module")
def checkpoint() -> Path:
    return ensure_checkpoint(load("laptop").model, paths.cache_dir()).path


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Question, ...]:
    suite = load("laptop")
    small = suite.model_copy(update={"quality": suite.quality.model_copy(update={"questions": QUESTIONS})})
    out = tmp_path_factory.mktemp("questions") / "eval.jsonl"
    return build_questions(small, seed=1337, side="eval", salt=SALT, out=out).questions


@pytest.fixture(scope="module")
def ask(questions: tuple[Question, ...]) -> Ask:
    """Greedy float32 answers of at most 12 tokens, all questions in one padded batch, on one core."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)

    def call(path: Path) -> list[Answer]:
        tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        chats = [[message.model_dump() for message in question.messages] for question in questions]
        prompts = tokenizer.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.no_grad():
            tokens = model.generate(**inputs, max_new_tokens=12, do_sample=False, eos_token_id=end, pad_token_id=end)
        texts = tokenizer.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return grade(questions, {q.id: text for q, text in zip(questions, texts, strict=True)})

    return call


@pytest.fixture(scope="module")
def reference(ask: Ask, checkpoint: Path) -> list[Answer]:
    return ask(checkpoint)


def test_the_reference_is_far_from_chance_and_from_perfect(reference: list[Answer]) -> None:
    result = verdict(reference, reference, 0.95, 1.0)
    assert result.passed
    assert 0.55 < result.accuracy < 0.9


def test_a_model_without_4_of_its_30_layers_fails(
    ask: Ask, checkpoint: Path, reference: list[Answer], tmp_path: Path
) -> None:
    result = verdict(ask(drop_layers(checkpoint, tmp_path / "out", [12, 15, 18, 21]).path), reference, 0.95, 1.0)
    assert result.passed is False
    assert result.below_tau_p is not None
    assert result.below_tau_p < 1e-6


def test_a_2_bit_model_fails(ask: Ask, checkpoint: Path, reference: list[Answer], tmp_path: Path) -> None:
    result = verdict(ask(fake_quantize(checkpoint, tmp_path / "out", bits=2).path), reference, 0.95, 1.0)
    assert result.passed is False
    assert result.below_tau_p is not None
    assert result.below_tau_p < 1e-6
