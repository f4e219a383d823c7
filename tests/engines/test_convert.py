"""The converter: what the GGUF says of the checkpoint, and which checkpoints it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, quants
from safetensors.torch import load_file, save_file

from inferencebench.engines.llamacpp.__main__ import main
from inferencebench.engines.llamacpp.convert import WEIGHTS, convert, ensure_gguf
from inferencebench.engines.llamacpp.tensors import read_tensors
from inferencebench.errors import UserError
from inferencebench.files import write_json
from inferencebench.models.store import Checkpoint, ensure_checkpoint
from tests.models.shapes import TINY


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return ensure_checkpoint(TINY, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def copy(tiny: Checkpoint, tmp_path: Path) -> Path:
    """A checkpoint to change."""
    return Path(shutil.copytree(tiny.path, tmp_path / "copy"))


def test_metadata_and_tensors(tiny: Checkpoint, tmp_path: Path) -> None:
    assert main(["convert", "--model", str(tiny.path), "--out", str(tmp_path / "x.gguf"), "--weights", "f32"]) == 0
    reader = GGUFReader(tmp_path / "x.gguf")
    said = {name: field.contents() for name, field in reader.fields.items()}
    assert said["llama.block_count"] == TINY.layers
    assert said["llama.attention.head_count_kv"] == TINY.kv_heads
    assert said["llama.context_length"] == TINY.context_tokens
    assert said["tokenizer.ggml.pre"] == "gpt-2"
    assert len(said["tokenizer.ggml.tokens"]) == TINY.vocab
    assert said["tokenizer.ggml.tokens"][said["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"
    assert said["tokenizer.chat_template"] == (tiny.path / "chat_template.jinja").read_text()
    original = {tensor.name: tensor.data for tensor in read_tensors(tiny.path)}
    written = {tensor.name: tensor.data for tensor in reader.tensors}
    assert len(written) == len(original)
    assert np.array_equal(written["blk.2.ffn_down.weight"], original["model.layers.2.mlp.down_proj.weight"])
    # The pair (i, i + 8) that transformers rotates in a head of 16 becomes (2 i, 2 i + 1).
    query = original["model.layers.1.self_attn.q_proj.weight"]
    assert np.array_equal(written["blk.1.attn_q.weight"][16:20], query[[16, 24, 17, 25]])


@pytest.mark.parametrize("weights", [kind for kind in WEIGHTS if kind != "f32"])
def test_weights_are_close_in_every_format(tiny: Checkpoint, tmp_path: Path, weights: str) -> None:
    reader = GGUFReader(ensure_gguf(tiny.path, tmp_path, weights))
    tensor = next(t for t in reader.tensors if t.name == "blk.0.ffn_up.weight")
    assert tensor.tensor_type.name == weights.upper()
    original = next(t.data for t in read_tensors(tiny.path) if t.name == "model.layers.0.mlp.up_proj.weight")
    difference = quants.dequantize(tensor.data, tensor.tensor_type) - original
    bits = {"f16": 11, "bf16": 8}.get(weights) or int(weights[1])
    assert np.abs(difference).max() < np.abs(original).max() / 2 ** (bits - 1)


def test_same_checkpoint_is_converted_once(tiny: Checkpoint, copy: Path, tmp_path: Path) -> None:
    first = ensure_gguf(tiny.path, tmp_path, "f16")
    written = first.stat().st_mtime_ns
    assert ensure_gguf(copy, tmp_path, "f16") == first
    assert first.stat().st_mtime_ns == written
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    assert ensure_gguf(copy, tmp_path, "f16") != first


def test_reads_half_precision_exactly(copy: Path) -> None:
    import torch

    shard = sorted(copy.glob("*.safetensors"))[0]
    for dtype in (torch.bfloat16, torch.float16):
        save_file({"x": load_file(shard)["model.layers.0.mlp.up_proj.weight"].to(dtype)}, copy / "half.safetensors")
        read = next(tensor.data for tensor in read_tensors(copy) if tensor.name == "x")
        assert np.array_equal(read, load_file(copy / "half.safetensors")["x"].float().numpy())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "converted are LlamaForCausalLM"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "scaled RoPE"),
        ({"sliding_window": 128}, "sliding windows"),
    ],
)
def test_other_models_are_refused(copy: Path, tmp_path: Path, change: dict[str, object], message: str) -> None:
    config = json.loads((copy / "config.json").read_text())
    write_json(copy / "config.json", config | change)
    with pytest.raises(UserError, match=message):
        convert(copy, tmp_path / "x.gguf", "f16")


def test_other_tokenizers_and_weights_are_refused(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(
        {
            "model.layers.0.self_attn.q_proj.bias": load_file(sorted(copy.glob("*.safetensors"))[0])[
                "model.layers.0.input_layernorm.weight"
            ]
        },
        copy / "bias.safetensors",
    )
    with pytest.raises(UserError, match=r"q_proj\.bias: not a part"):
        convert(copy, tmp_path / "x.gguf", "f16")
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    write_json(copy / "tokenizer.json", tokenizer | {"pre_tokenizer": {"type": "Metaspace"}})
    assert main(["convert", "--model", str(copy), "--out", str(tmp_path / "x.gguf")]) == 2
    assert "Metaspace" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.gguf*"))
    assert not list(tmp_path.glob(".x.gguf*"))
