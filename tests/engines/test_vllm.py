"""The vLLM adapter and space against a real vLLM, named by IB_VLLM_PYTHON (`make test-vllm`); skipped where there is
none. The CPU build has the GPU build's flags, log lines and HTTP server."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from inferencebench.engines import registry
from inferencebench.engines.recognition import recognise
from inferencebench.engines.vllm import ENGINE
from inferencebench.models.store import ensure_checkpoint
from inferencebench.paths import cache_dir
from inferencebench.run.trial import StartupWatch
from inferencebench.sandbox import registry as sandboxes
from inferencebench.sandbox.contract import SandboxSpec
from inferencebench.search import space
from inferencebench.search.options import compare, installed_help
from inferencebench.serve.server import Server, ServerFailed, start
from inferencebench.suites import load

PYTHON = os.environ.get("IB_VLLM_PYTHON", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="IB_VLLM_PYTHON names no environment with vLLM")
MODEL = load.load("laptop-mini").model
READY_S = 540.0
"""A cold compile cache on two cores that others use too."""


@contextmanager
def launched(folder: Path, *arguments: str) -> Iterator[tuple[Server, StartupWatch]]:
    """The adapter's launcher with these arguments, as a submission is started."""
    (folder / "start_server.sh").write_text(ENGINE.launcher(arguments))
    env = {
        "PATH": f"{Path(PYTHON).parent}:{os.environ['PATH']}",
        "HOME": str(cache_dir()),
        "IB_PYTHON": PYTHON,
        "MODEL_PATH": str(ensure_checkpoint(MODEL, cache_dir()).path),
        "MODEL_ID": MODEL.id,
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    spec = SandboxSpec(cwd=str(folder), env=env)
    argv = ["/bin/bash", str(folder / "start_server.sh")]
    with start(sandboxes.get("process"), spec, argv, folder / "logs") as server:
        yield server, StartupWatch(ENGINE.startup, folder / "logs")


@pytest.mark.parametrize("paper", [False, True])
def test_every_flag_and_value_is_one_of_the_installed_engine(paper: bool) -> None:
    argv = registry.get("vllm").help_argv()
    assert compare(space.find("vllm", paper=paper), installed_help([PYTHON, *argv[1:]])) == []


def test_the_version_is_read_without_an_import() -> None:
    code = "from inferencebench.engines.vllm import ENGINE; import sys; print(ENGINE.version(), 'vllm' in sys.modules)"
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, env=env, timeout=60, check=False)
    version, imported = done.stdout.split()
    assert space.find("vllm", version).versions.hold(version)
    assert imported == "False"


@pytest.mark.timeout(900)
def test_the_default_serves_forced_lengths_and_streams(tmp_path: Path) -> None:
    assert recognise(ENGINE.default_launcher()).is_default
    with launched(tmp_path) as (server, watch):
        server.wait_ready(READY_S, MODEL.id, watch.look)
        body = {
            "model": MODEL.id,
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
            "max_tokens": 24,
            "temperature": 0,
        }
        url = f"http://127.0.0.1:{server.port}/v1/chat/completions"
        said = httpx.post(url, json=body, timeout=120).json()
        assert "Paris" in said["choices"][0]["message"]["content"]
        forced = body | {"ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
        reply = httpx.post(url, json=forced, timeout=120)
        events = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]
        assert events[-1]["usage"]["completion_tokens"] == 24
        assert sum(bool(e["choices"] and e["choices"][0]["delta"].get("content")) for e in events) > 10


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("arguments", "meaning"),
    [
        (("--no-such-option", "1"), "an option is refused"),
        (("--max-model-len", "9999999"), "unsupported combination"),
        (
            ("--max-num-batched-tokens", "64", "--no-enable-chunked-prefill"),
            "batch smaller than one prompt|unsupported",
        ),
    ],
)
def test_a_start_that_cannot_succeed_is_known_at_once(arguments: tuple[str, ...], meaning: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with launched(tmp_path, *arguments) as (server, watch), pytest.raises(ServerFailed, match=meaning):
        server.wait_ready(READY_S, MODEL.id, watch.look)
    assert time.monotonic() - began < 240, "the time to import vLLM, not to wait for a server"
