"""Options of the llama.cpp server: one table from our flags to `xllamacpp.CommonParams`.

An option that is not given keeps llama.cpp's default. What the table leaves out is reached by
`--set path=value` (`--set speculative.ngram_mod.n_max=32`).
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inferencebench.engines.host import available_cores
from inferencebench.errors import UserError

CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
SPECULATION = ("none", "ngram-simple", "ngram-map-k", "ngram-map-k4v", "ngram-mod", "ngram-cache", "draft-simple")

SERVER_SLOTS = 4
"""Slots of `llama-server` when none are asked for. They share one cache of one context length."""


@dataclass(frozen=True)
class _Flag:
    name: str
    attribute: str
    """Path below `CommonParams`."""
    help: str
    kind: type = int
    choices: tuple[str, ...] | None = None
    enum: str | None = None
    """xllamacpp's enum and the prefix of its members, `enum:PREFIX_`."""
    constant: Any = None
    """Value of a flag without an argument."""


_FLAGS = (
    _Flag("batch", "n_batch", "logical batch in tokens"),
    _Flag("ubatch", "n_ubatch", "physical batch in tokens"),
    _Flag("cache-type-k", "cache_type_k", "format of cached keys", str, CACHE_TYPES, "ggml_type:GGML_TYPE_"),
    _Flag("cache-type-v", "cache_type_v", "format of cached values", str, CACHE_TYPES, "ggml_type:GGML_TYPE_"),
    _Flag(
        "flash-attn",
        "flash_attn_type",
        "fused attention",
        str,
        ("auto", "enabled", "disabled"),
        "llama_flash_attn_type:LLAMA_FLASH_ATTN_TYPE_",
    ),
    _Flag("no-cache-prompt", "cache_prompt", "compute every prompt anew", constant=False),
    _Flag("cache-reuse", "n_cache_reuse", "smallest chunk of a cached prompt to reuse by shifting"),
    _Flag("cache-ram", "cache_ram_mib", "prompt cache in MiB, -1 without a limit, 0 off"),
    _Flag("no-cont-batching", "cont_batching", "do not add requests to a running batch", constant=False),
    _Flag("kv-unified", "kv_unified", "one cache for all slots", constant=True),
    _Flag("gpu-layers", "n_gpu_layers", "layers on the GPU, -1 as many as fit"),
    _Flag("poll", "cpuparams.poll", "0 to 100: how much idle threads spin"),
    _Flag("no-warmup", "warmup", "skip the empty first run", constant=False),
    _Flag("metrics", "endpoint_metrics", "serve GET /metrics", constant=True),
    _Flag("threads-http", "n_threads_http", "threads of the HTTP side"),
    _Flag("draft-max", "speculative.draft.n_max", "tokens to draft"),
    _Flag("draft-min", "speculative.draft.n_min", "fewest tokens to draft"),
    _Flag("draft-p-min", "speculative.draft.p_min", "least probability of a drafted token", float),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the server's options to `parser`."""
    parser.add_argument("--threads", type=int, help="compute threads (default: the affinity mask's cores)")
    parser.add_argument("--threads-batch", type=int, help="compute threads of prefill (default: --threads)")
    parser.add_argument("--ctx", type=int, help="context of one request in tokens (default: the model's)")
    parser.add_argument(
        "--parallel",
        type=int,
        help=f"requests served at once, each with a cache of --ctx tokens (default: {SERVER_SLOTS} that share one)",
    )
    parser.add_argument("--spec", choices=SPECULATION, help="speculative decoding")
    parser.add_argument("--draft-gguf", help="GGUF of the draft model of --spec draft-simple")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="any field of CommonParams")
    for flag in _FLAGS:
        if flag.constant is not None:
            parser.add_argument(f"--{flag.name}", action="store_const", const=flag.constant, help=flag.help)
        else:
            parser.add_argument(f"--{flag.name}", type=flag.kind, choices=flag.choices, help=flag.help)


def common_params(options: argparse.Namespace, gguf: str, context_tokens: int) -> Any:
    """`xllamacpp.CommonParams` from parsed options. Raises UserError for a `--set` that names no field."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.hostnames = [options.host]
    params.port = options.port
    params.model_alias = {options.served_name}
    params.cpuparams.n_threads = options.threads or available_cores()
    params.cpuparams_batch.n_threads = options.threads_batch or params.cpuparams.n_threads
    # llama.cpp divides n_ctx by the slots unless they share one cache.
    context = options.ctx or context_tokens
    params.n_parallel = options.parallel or SERVER_SLOTS
    params.kv_unified = not options.parallel
    params.n_ctx = context * (options.parallel or 1)
    for flag in _FLAGS:
        value = getattr(options, flag.name.replace("-", "_"))
        if value is not None:
            _assign(params, flag.attribute, _enum_member(xllamacpp, flag.enum, value) if flag.enum else value)
    if options.spec:
        member = _enum_member(xllamacpp, "common_speculative_type:COMMON_SPECULATIVE_TYPE_", options.spec)
        params.speculative.types = [member]
    if options.draft_gguf:
        params.speculative.draft.mparams.path = options.draft_gguf
    for assignment in options.set:
        _set(params, assignment)
    return params


def _enum_member(module: Any, enum: str, value: str) -> Any:
    name, prefix = enum.split(":")
    return getattr(getattr(module, name), prefix + value.upper().replace("-", "_"))


def _assign(params: Any, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        params = getattr(params, parent)
    setattr(params, last, value)


def _set(params: Any, assignment: str) -> None:
    """Apply one `path=value`; the field's present value tells its type."""
    path, separator, text = assignment.partition("=")
    target: Any = params
    try:
        for name in path.split("."):
            target = getattr(target, name)
    except AttributeError:
        raise UserError(f"--set {assignment}: xllamacpp.CommonParams has no field {path!r}") from None
    readers: dict[type, Callable[[str], Any]] = {bool: _boolean, int: int, float: float, str: str}
    reader = readers.get(type(target))
    try:
        if not separator or reader is None:
            raise ValueError
        _assign(params, path, reader(text))
    except ValueError:
        raise UserError(f"--set {assignment}: expected {path}=VALUE with a {type(target).__name__}") from None


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
    if text.lower() not in values:
        raise ValueError
    return values[text.lower()]
