"""Physical bounds on speed, from a model's shape and a machine's peak rates.

Sources: matrix-product FLOPs as in Kaplan et al. 2020 (two per parameter and token) plus attention's 2 L d n^2 (causal:
half of the four products per layer and pair); the roofline model of Williams et al. 2009 for bandwidth.

Two grades. A **hard** bound cannot be beaten by any honest implementation: dense arithmetic at the fastest type the
hardware has, no attention, and for prefill 2:4 sparsity on top. A **review** bound is what the best legitimate
implementation could reach at 100 % of its peak: 8-bit linear layers, 4-bit weights, eight accepted tokens a step.
"""

from dataclasses import dataclass
from typing import NamedTuple

from inferencebench.doctor.hardware import Peaks
from inferencebench.errors import UserError
from inferencebench.suites.model import Hardware, Model

BITS = {"f32": 32, "tf32": 16, "bf16": 16, "f16": 16, "fp8": 8, "int8": 8, "fp4": 4, "int4": 4}
"""Width of an arithmetic type; tf32 counts as 16 because its products keep 10 bits of mantissa."""
SPARSITY = 2.0
"""Gain of 2:4 structured sparsity, also where no unit for it exists: half of the products may be left out."""
STORED_BITS = {4: 4.25, 8: 8.0, 16: 16.0, 32: 32.0}
"""Stored bits per weight by nominal width: 4-bit weights carry at least one 16-bit scale per 64."""
ACCEPTED_TOKENS = 8.0
"""Accepted tokens per verification step in the review bound of decoding."""


class Bound(NamedTuple):
    """A hard and a review bound on one quantity."""

    hard: float
    review: float


@dataclass(frozen=True)
class Roof:
    """Peak rates of all the suite's devices together: FLOP/s by type, and bytes/s."""

    flops: dict[str, float]
    bytes_per_s: float

    def best(self, min_bits: int) -> float:
        """FLOP/s of the fastest type of at least `min_bits` bits; of the fastest at all where none is that wide."""
        wide = [rate for name, rate in self.flops.items() if BITS[name] >= min_bits]
        return max(wide or self.flops.values())

    @property
    def fastest(self) -> float:
        """FLOP/s of the fastest type."""
        return max(self.flops.values())


def roof(hardware: Hardware, peaks: Peaks | None) -> Roof:
    """The suite's stated peaks, or the calibrated ones of a CPU; multiplied by the number of devices.

    Raises UserError when there are neither."""
    if hardware.tflops and hardware.bandwidth_gb_per_s:
        tflops, bandwidth = {str(k): v for k, v in hardware.tflops.items()}, hardware.bandwidth_gb_per_s
    elif peaks is not None:
        tflops, bandwidth = peaks.tflops, peaks.bandwidth_gb_per_s
    else:
        raise UserError(
            f"hardware {hardware.name}: no peak rates; state tflops and bandwidth, or calibrate the machine"
        )
    scale = hardware.devices
    return Roof({name: rate * 1e12 * scale for name, rate in tflops.items()}, bandwidth * 1e9 * scale)


def linear_flops(model: Model, tokens: float) -> float:
    """2 P_body n: the matrix products of `tokens` tokens, without the output projection."""
    return 2.0 * model.body_params * tokens


def attention_flops(model: Model, tokens: float) -> float:
    """2 L d n^2: causal attention over `tokens` tokens, scores and weighted values."""
    return 2.0 * model.layers * (model.attention_dim or model.hidden) * tokens**2


def prefill_flops(model: Model, tokens: float) -> float:
    """FLOPs of reading a prompt of `tokens` tokens."""
    return linear_flops(model, tokens) + attention_flops(model, tokens)


def weight_bytes(model: Model, body_bits: int) -> float:
    """Bytes read for one token: the body at `body_bits`, the output projection at 16 bits (or wider if the body is).

    The projection stays at 16 bits in the quantized checkpoints in use."""
    head_bits = max(16, body_bits)
    return (model.body_params * STORED_BITS[body_bits] + model.head_params * head_bits) / 8


def ttft_floor_s(model: Model, roof: Roof, tokens: float) -> Bound:
    """Seconds that a prompt of `tokens` uncached tokens takes at least: linear layers alone, as attention is exact."""
    flops = linear_flops(model, tokens)
    return Bound(hard=flops / (SPARSITY * roof.fastest), review=flops / roof.best(8))


def tpot_floor_s(model: Model, roof: Roof) -> Bound:
    """Seconds per output token of one request at least.

    Hard: 2 (P_body + P_head) / peak, as each emitted token has at least to be verified by the model. Review: the
    weights at 4 bits are read once per `ACCEPTED_TOKENS` tokens (speculation), or the hard bound if that is more."""
    hard = 2.0 * (model.body_params + model.head_params) / roof.fastest
    return Bound(hard, max(hard, weight_bytes(model, 4) / (roof.bytes_per_s * ACCEPTED_TOKENS)))


def decode_step_s(model: Model, roof: Roof, body_bits: int) -> float:
    """Seconds to read all weights once: the TPOT floor without speculation."""
    return weight_bytes(model, body_bits) / roof.bytes_per_s


def request_flops(model: Model, prompt_tokens: float, output_tokens: float) -> float:
    """FLOPs of one whole request: every token through the body, each output token through the projection."""
    total = prompt_tokens + output_tokens
    return prefill_flops(model, total) + 2.0 * model.head_params * output_tokens


def request_rate_ceiling_per_s(model: Model, roof: Roof, prompt_tokens: float, output_tokens: float) -> Bound:
    """Requests per second at most, whatever the batching.

    Hard: dense arithmetic at the fastest type. Review: at 16 bits, since no 8-bit engine sustains half of its peak
    over prefill and decoding together."""
    flops = request_flops(model, prompt_tokens, output_tokens)
    return Bound(hard=roof.fastest / flops, review=roof.best(16) / flops)
