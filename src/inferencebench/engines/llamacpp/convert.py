"""Checkpoint to GGUF: Llama and Mistral architectures, in the weight formats the `gguf` package can write."""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferencebench.engines.llamacpp.tensors import Tensor, read_tensors
from inferencebench.engines.llamacpp.vocabulary import read_vocabulary
from inferencebench.errors import MissingError, UserError
from inferencebench.models.store import describe

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFWriter

WEIGHTS = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
"""Weight formats. llama.cpp's K-quants need its own quantizer and rows divisible by 256."""

CONVERTER_VERSION = 1
"""Part of a cached file's name: bumped when the converter writes other bytes for the same checkpoint."""

ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM")

_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_BLOCK_NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def ensure_gguf(checkpoint: Path, directory: Path, weights: str) -> Path:
    """The GGUF of `checkpoint` in `directory`, converted if it is not there; named by the checkpoint's hash."""
    directory.mkdir(parents=True, exist_ok=True)
    out = directory / f"{describe(checkpoint).sha256[:16]}-v{CONVERTER_VERSION}-{weights}.gguf"
    if not out.exists():
        convert(checkpoint, out, weights)
    return out


def convert(checkpoint: Path, out: Path, weights: str) -> None:
    """Write `checkpoint` as the GGUF file `out`, atomically.

    Matrices are stored as `weights`, norms as float32. Embedding and head keep 8 bits where `weights` has fewer, as
    llama.cpp's own quantizer keeps more bits there.

    Raises UserError for a checkpoint outside what is converted here, MissingError without the gguf package."""
    try:
        from gguf import GGUFWriter, LlamaFileType
    except ImportError:
        raise MissingError("gguf is not installed: pip install 'inferencebench[llamacpp]'") from None
    if weights not in WEIGHTS:
        raise UserError(f"weights {weights!r}: expected one of {', '.join(WEIGHTS)}")
    config = _read_config(checkpoint)
    fd, temporary = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    os.close(fd)
    try:
        writer = GGUFWriter(temporary, "llama")
        file_type = "ALL_F32" if weights == "f32" else f"MOSTLY_{weights.upper()}"
        writer.add_file_type(LlamaFileType[file_type])
        writer.add_quantization_version(2)
        writer.add_name(checkpoint.name)
        _write_shape(writer, config)
        read_vocabulary(checkpoint, config["vocab_size"]).write(writer)
        for tensor in read_tensors(checkpoint):
            _write_tensor(writer, tensor, config, weights)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        os.chmod(temporary, 0o644)
        os.replace(temporary, out)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read_config(checkpoint: Path) -> dict[str, Any]:
    path = checkpoint / "config.json"
    if not path.is_file():
        raise UserError(f"{checkpoint}: no config.json, expected a checkpoint directory")
    config: dict[str, Any] = json.loads(path.read_text())
    if not set(config.get("architectures") or ()) & set(ARCHITECTURES):
        raise UserError(f"{path}: architecture {config.get('architectures')}, converted are {', '.join(ARCHITECTURES)}")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", "default") != "default" or config.get("sliding_window"):
        raise UserError(f"{path}: scaled RoPE and sliding windows are not converted")
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    config["head_dim"] = config.get("head_dim") or hidden // heads
    config["num_key_value_heads"] = config.get("num_key_value_heads") or heads
    config["rope_theta"] = rope.get("rope_theta") or config.get("rope_theta", 10000.0)
    return config


def _write_shape(writer: "GGUFWriter", config: dict[str, Any]) -> None:
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_vocab_size(config["vocab_size"])


def _write_tensor(writer: "GGUFWriter", tensor: Tensor, config: dict[str, Any], weights: str) -> None:
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

    name = _gguf_name(tensor.name)
    if name == "output.weight" and config.get("tie_word_embeddings"):
        return
    data = np.asarray(tensor.data)
    if data.ndim == 1:
        writer.add_tensor(name, data)
        return
    if name.endswith(("attn_q.weight", "attn_k.weight")):
        is_query = name.endswith("attn_q.weight")
        data = _interleave_halves(data, config["num_attention_heads" if is_query else "num_key_value_heads"])
    if name in ("token_embd.weight", "output.weight") and weights.startswith(("q4", "q5")):
        weights = "q8_0"
    kind = GGMLQuantizationType[weights.upper()]
    if data.shape[-1] % GGML_QUANT_SIZES[kind][0]:
        kind = GGMLQuantizationType.F16
    writer.add_tensor(name, quants.quantize(data, kind), raw_dtype=kind)


def _gguf_name(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    match = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.weight", name)
    if match is None or match[2] not in _BLOCK_NAMES:
        raise UserError(f"weight {name}: not a part of a plain Llama or Mistral model")
    return f"blk.{match[1]}.{_BLOCK_NAMES[match[2]]}.weight"


def _interleave_halves(data: "np.ndarray[Any, Any]", heads: int) -> "np.ndarray[Any, Any]":
    """Reorder the rows of a query or key projection, [heads * head_dim, hidden].

    transformers rotates the pair (i, i + head_dim / 2), llama.cpp the pair (2 i, 2 i + 1) of each head."""
    rows, columns = data.shape
    return data.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
