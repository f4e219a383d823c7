"""Flags of the llama.cpp server reach llama.cpp's parameters, and what is not given keeps its default."""

import argparse
import os
from typing import Any

import pytest
import xllamacpp

from inferencebench.engines.llamacpp.options import SERVER_SLOTS, add_arguments, common_params
from inferencebench.errors import UserError

FLAGS = """
--threads 3 --threads-batch 5 --batch 512 --ubatch 64 --cache-type-k q8_0 --cache-type-v iq4_nl --flash-attn enabled
--no-cache-prompt --no-cont-batching --metrics --poll 0 --gpu-layers 0 --spec ngram-simple --draft-max 7
--set speculative.ngram_simple.size_m=9 --set warmup=false
"""


def _params(*argv: str) -> Any:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = parser.parse_args(argv)
    options.host, options.port, options.served_name = "127.0.0.1", 1234, "name"
    return common_params(options, "x.gguf", 8192)


def test_defaults_are_those_of_the_server_on_the_allowed_cores() -> None:
    params, untouched = _params(), xllamacpp.CommonParams()
    assert params.cpuparams.n_threads == params.cpuparams_batch.n_threads == len(os.sched_getaffinity(0))
    assert (params.n_parallel, params.kv_unified, params.n_ctx) == (SERVER_SLOTS, True, 8192)
    for field in ("n_batch", "n_ubatch", "cache_prompt", "cont_batching", "flash_attn_type", "cache_type_k", "warmup"):
        assert getattr(params, field) == getattr(untouched, field)


def test_each_slot_gets_the_whole_context() -> None:
    assert (_params("--parallel", "3").n_ctx, _params("--parallel", "3").kv_unified) == (3 * 8192, False)
    assert _params("--parallel", "3", "--ctx", "100").n_ctx == 300


def test_flags_are_applied() -> None:
    params = _params(*FLAGS.split())
    assert (params.cpuparams.n_threads, params.cpuparams_batch.n_threads) == (3, 5)
    assert (params.n_batch, params.n_ubatch) == (512, 64)
    assert params.cache_type_k == xllamacpp.ggml_type.GGML_TYPE_Q8_0
    assert params.cache_type_v == xllamacpp.ggml_type.GGML_TYPE_IQ4_NL
    assert params.flash_attn_type == xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    assert (params.cache_prompt, params.cont_batching, params.warmup) == (False, False, False)
    assert (params.endpoint_metrics, params.cpuparams.poll, params.n_gpu_layers) == (True, 0, 0)
    kinds = xllamacpp.common_speculative_type
    assert params.speculative.types == [kinds.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
    assert (params.speculative.draft.n_max, params.speculative.ngram_simple.size_m) == (7, 9)


@pytest.mark.parametrize("assignment", ["n_btach=1", "n_batch", "n_batch=many", "warmup=perhaps", "sampling=1"])
def test_wrong_assignments_are_refused(assignment: str) -> None:
    with pytest.raises(UserError, match=f"--set {assignment}: "):
        _params("--set", assignment)
