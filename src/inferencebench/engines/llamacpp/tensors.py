"""Reading weights without a deep-learning framework: safetensors are a JSON header and raw little-endian arrays."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from inferencebench.errors import UserError

if TYPE_CHECKING:
    import numpy as np

_NUMPY = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class Tensor(NamedTuple):
    """A named weight, float32, row-major."""

    name: str
    data: "np.ndarray[Any, Any]"


def read_tensors(checkpoint: Path) -> Iterator[Tensor]:
    """The weights of all `*.safetensors` of a checkpoint, one at a time, as float32.

    Raises UserError when there are none, or one has a type that is not a plain float."""
    shards = sorted(checkpoint.glob("*.safetensors"))
    if not shards:
        raise UserError(f"{checkpoint}: no *.safetensors, expected a checkpoint directory")
    for shard in shards:
        yield from _read_shard(shard)


def _read_shard(path: Path) -> Iterator[Tensor]:
    import numpy as np

    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    raw = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + length)
    for name, entry in header.items():
        if entry["dtype"] not in _NUMPY:
            raise UserError(f"{path}: {name} is {entry['dtype']}, expected one of {', '.join(_NUMPY)}")
        begin, end = entry["data_offsets"]
        values = raw[begin:end].view(_NUMPY[entry["dtype"]])
        if entry["dtype"] == "BF16":
            # bfloat16 is the upper half of a float32.
            values = (values.astype(np.uint32) << 16).view(np.float32)
        yield Tensor(name, values.astype(np.float32, copy=False).reshape(entry["shape"]))
