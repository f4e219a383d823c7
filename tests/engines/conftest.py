"""The real engines on the real model: started from their default launchers, once per test session."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from inferencebench import paths
from inferencebench.engines import registry
from inferencebench.models.store import Checkpoint, ensure_checkpoint
from inferencebench.sandbox.process import free_port
from tests.models.shapes import SMOLLM2

READY_S = 120.0


@dataclass(frozen=True)
class LiveServer:
    """A running server and a client of it."""

    engine: str
    process: psutil.Process
    client: httpx.Client

    def body(self, text: str, **options: Any) -> dict[str, Any]:
        """A greedy request."""
        return {
            "model": SMOLLM2.id,
            "messages": [{"role": "user", "content": text}],
            "temperature": 0,
            "max_tokens": 16,
        } | options

    def chat(self, text: str, **options: Any) -> dict[str, Any]:
        """A whole answer."""
        answer = self.client.post("/v1/chat/completions", json=self.body(text, **options))
        assert answer.status_code == 200, answer.text
        value: dict[str, Any] = answer.json()
        return value


@contextmanager
def running(engine: str, argv: list[str], env: dict[str, str], port: int, log: Path) -> Iterator[LiveServer]:
    """Start a server, wait until it answers, and end it by SIGTERM."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, env=os.environ | env, stdout=output, stderr=output)
    # llama.cpp closes kept connections after 5 s or 100 requests, sometimes just as the next request is written.
    limits = httpx.Limits(max_keepalive_connections=0)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, limits=limits)
    try:
        deadline = time.monotonic() + READY_S
        while not _answers(client):
            assert process.poll() is None, f"{engine} exited:\n{log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"{engine} not ready:\n{log.read_text()[-3000:]}"
            time.sleep(0.1)
        yield LiveServer(engine, psutil.Process(process.pid), client)
    finally:
        client.close()
        process.terminate()
        assert process.wait(30) in (0, -15), f"{engine} did not end on SIGTERM as it should"


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/v1/models", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def smollm2() -> Checkpoint:
    """The laptop suite's checkpoint, from the user's cache: fetched once per machine, not per test run."""
    return ensure_checkpoint(SMOLLM2, paths.cache_dir())


@pytest.fixture(scope="session")
def tokenizer(smollm2: Checkpoint) -> Any:
    """The checkpoint's own tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(smollm2.path)


@pytest.fixture(scope="session")
def start_llamacpp(smollm2: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Starts llama.cpp with options of its own; GGUFs are converted once per machine."""
    logs = tmp_path_factory.mktemp("llamacpp")

    def start(*options: str) -> Any:
        port = free_port()
        argv = [sys.executable, "-m", "inferencebench.engines.llamacpp", "serve", "--model", str(smollm2.path)]
        argv += ["--served-name", SMOLLM2.id, "--port", str(port), "--gguf-dir", str(paths.cache_dir() / "gguf")]
        return running("llamacpp", [*argv, *options], {}, port, logs / f"{port}.log")

    return start


@pytest.fixture(scope="session", params=["pytorch", "llamacpp"])
def server(
    request: pytest.FixtureRequest, smollm2: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """Each engine as its default launcher starts it."""
    directory = tmp_path_factory.mktemp(request.param)
    launcher = directory / "start_server.sh"
    launcher.write_text(registry.get(request.param).default_launcher())
    port = free_port()
    env = {
        "IB_PYTHON": sys.executable,
        "MODEL_PATH": str(smollm2.path),
        "MODEL_ID": SMOLLM2.id,
        "HOST": "127.0.0.1",
        "PORT": str(port),
    }
    with running(request.param, ["sh", str(launcher)], env, port, directory / "server.log") as live:
        yield live
