"""Damaged copies of a checkpoint: the fixtures a quality or integrity gate must catch, and how far it lets them go."""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferencebench.errors import UserError
from inferencebench.files import write_json
from inferencebench.models.sources import require_transformers
from inferencebench.models.store import Checkpoint, describe

if TYPE_CHECKING:
    from torch import Tensor

_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")
_WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json")


def drop_layers(checkpoint: Path, out: Path, layers: Sequence[int]) -> Checkpoint:
    """Copy `checkpoint` to the new directory `out` without the decoder layers numbered `layers` (from 0).

    Raises UserError for a layer that the model does not have, or when none would be left."""
    config = _config(checkpoint)
    total = config["num_hidden_layers"]
    kept = [layer for layer in range(total) if layer not in set(layers)]
    if not kept or not set(layers) <= set(range(total)):
        raise UserError(f"layers {sorted(layers)}: expected some, not all, of 0 to {total - 1}")
    number = {old: new for new, old in enumerate(kept)}
    weights = {}
    for name, tensor in _weights(checkpoint):
        match = _LAYER.fullmatch(name)
        if match is None:
            weights[name] = tensor
        elif int(match[1]) in number:
            weights[f"model.layers.{number[int(match[1])]}.{match[2]}"] = tensor
    config["num_hidden_layers"] = len(kept)
    if "layer_types" in config:
        config["layer_types"] = [config["layer_types"][layer] for layer in kept]
    return _save(checkpoint, out, config, weights)


def fake_quantize(checkpoint: Path, out: Path, bits: int, group: int = 32) -> Checkpoint:
    """Copy `checkpoint` to the new directory `out` with the linear weights of its layers rounded to `bits` bits.

    Round-to-nearest between minimum and maximum of each `group` consecutive inputs of a row, stored in the
    checkpoint's own precision; embedding, head and norms are kept.

    Raises UserError when `group` does not divide a row."""
    if not 1 <= bits <= 8:
        raise UserError(f"bits = {bits}: expected 1 to 8")
    weights = {}
    for name, tensor in _weights(checkpoint):
        linear = _LAYER.fullmatch(name) is not None and tensor.ndim == 2
        if linear and tensor.shape[1] % group:
            raise UserError(f"group = {group}: does not divide the {tensor.shape[1]} inputs of {name}")
        weights[name] = round_to_nearest(tensor, bits, group) if linear else tensor
    return _save(checkpoint, out, _config(checkpoint), weights)


def round_to_nearest(weight: "Tensor", bits: int, group: int) -> "Tensor":
    """`weight` ([rows, columns]) with each group of columns on the 2^bits evenly spaced values of its own range."""
    grouped = weight.float().reshape(weight.shape[0], -1, group)
    low = grouped.amin(dim=-1, keepdim=True)
    step = (grouped.amax(dim=-1, keepdim=True) - low) / (2**bits - 1)
    # A constant group has no range: any step reproduces it.
    step = step.masked_fill(step == 0, 1.0)
    return (((grouped - low) / step).round() * step + low).reshape(weight.shape).to(weight.dtype)


def _config(checkpoint: Path) -> dict[str, Any]:
    path = checkpoint / "config.json"
    if not path.is_file():
        raise UserError(f"{checkpoint}: no config.json, expected a checkpoint directory")
    config: dict[str, Any] = json.loads(path.read_text())
    return config


def _weights(checkpoint: Path) -> "Iterator[tuple[str, Tensor]]":
    require_transformers()
    from safetensors import safe_open

    for shard in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(shard, framework="pt") as file:
            for name in sorted(file.keys()):
                yield name, file.get_tensor(name)


def _save(checkpoint: Path, out: Path, config: dict[str, Any], weights: "dict[str, Tensor]") -> Checkpoint:
    """Write the changed copy; everything but weights and config is the original's."""
    from safetensors.torch import save_file

    if out.exists():
        raise UserError(f"{out}: exists; a damaged copy is written to a new directory")
    shutil.copytree(checkpoint, out, ignore=shutil.ignore_patterns(*_WEIGHT_FILES, "config.json"))
    write_json(out / "config.json", config)
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    return describe(out)
