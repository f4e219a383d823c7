"""The vLLM space against a real vLLM, named by IB_VLLM_PYTHON (`make test-vllm`); skipped where there is none."""

import os

import pytest

from inferencebench.engines import registry
from inferencebench.search import space
from inferencebench.search.options import compare, installed_help

PYTHON = os.environ.get("IB_VLLM_PYTHON", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="IB_VLLM_PYTHON names no environment with vLLM")


@pytest.mark.parametrize("paper", [False, True])
def test_every_flag_and_value_is_one_of_the_installed_engine(paper: bool) -> None:
    argv = registry.get("vllm").help_argv()
    assert compare(space.find("vllm", paper=paper), installed_help([PYTHON, *argv[1:]])) == []
