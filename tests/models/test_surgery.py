"""Damaged copies do exactly the damage they are named for."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from inferencebench.errors import UserError
from inferencebench.models.store import Checkpoint, ensure_checkpoint
from inferencebench.models.surgery import drop_layers, fake_quantize, round_to_nearest
from tests.models.shapes import TINY

PROMPT = torch.tensor([[5, 17, 300, 42, 99]])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return ensure_checkpoint(TINY, tmp_path_factory.mktemp("cache"))


def _logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(PROMPT).logits


def test_dropped_layers_are_the_ones_named(tiny: Checkpoint, tmp_path: Path) -> None:
    out = drop_layers(tiny.path, tmp_path / "out", [1, 3])
    expected = AutoModelForCausalLM.from_pretrained(tiny.path)
    expected.model.layers = torch.nn.ModuleList([expected.model.layers[0], expected.model.layers[2]])
    for number, layer in enumerate(expected.model.layers):
        layer.self_attn.layer_idx = number
    expected.config.num_hidden_layers = 2
    assert torch.equal(_logits(AutoModelForCausalLM.from_pretrained(out.path)), _logits(expected))
    assert json.loads((out.path / "config.json").read_text())["num_hidden_layers"] == 2
    assert out.files["tokenizer.json"] == tiny.files["tokenizer.json"]
    assert out.sha256 != tiny.sha256


@pytest.mark.parametrize("layers", [[4], [-1], [0, 1, 2, 3]])
def test_impossible_layers_are_refused(tiny: Checkpoint, tmp_path: Path, layers: list[int]) -> None:
    with pytest.raises(UserError, match="not all, of 0 to 3"):
        drop_layers(tiny.path, tmp_path / "out", layers)


def test_fewer_bits_do_more_damage(tiny: Checkpoint, tmp_path: Path) -> None:
    original = _logits(AutoModelForCausalLM.from_pretrained(tiny.path))
    errors = []
    for bits in (8, 4, 2):
        copy = fake_quantize(tiny.path, tmp_path / str(bits), bits)
        errors.append(float((_logits(AutoModelForCausalLM.from_pretrained(copy.path)) - original).norm()))
    assert 0 < errors[0] < errors[1] < errors[2]


def test_existing_directory_and_unfit_group_are_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists"):
        fake_quantize(tiny.path, tmp_path, 4)
    with pytest.raises(UserError, match="group = 48"):
        fake_quantize(tiny.path, tmp_path / "out", 4, group=48)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.sampled_from([4, 8, 32]), st.floats(1e-3, 1e3))
def test_rounding_is_to_the_nearest_of_few_values(seed: int, bits: int, group: int, scale: float) -> None:
    weight = torch.randn(3, 64, generator=torch.Generator().manual_seed(seed)) * scale
    rounded = round_to_nearest(weight, bits, group)
    for row, row_rounded in zip(weight.reshape(-1, group), rounded.reshape(-1, group), strict=True):
        step = float(row.max() - row.min()) / (2**bits - 1)
        assert len(set(row_rounded.tolist())) <= 2**bits
        assert float((row - row_rounded).abs().max()) <= step / 2 + 1e-5 * scale
    assert torch.allclose(round_to_nearest(rounded, bits, group), rounded, atol=1e-5 * scale)


def test_constant_rows_are_kept() -> None:
    weight = torch.full((2, 32), 0.25)
    assert torch.equal(round_to_nearest(weight, 2, 32), weight)
