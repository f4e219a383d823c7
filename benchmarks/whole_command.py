"""`inferencebench measure` as a whole program against the mock: its start-up, and its CPU per chunk, all included."""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from inferencebench.load.calibrate import CHUNKS_PER_S, STREAMS, TTFT_S
from inferencebench.load.mock import MockConfig, MockServer

SHORT_TOKENS = 2


def figures(tokens: int, server_cpu: int, client_cpu: int) -> dict[str, float]:
    """`start_up_cpu_s`: CPU of a command that sends one request of one token, imports and report included.

    `cpu_us_per_chunk`: of the difference between long and short replies, so the loop, the parse and every metric.
    """
    return {
        "start_up_cpu_s": _cpu_s(1, 1, server_cpu, client_cpu),
        "cpu_us_per_chunk": (
            _cpu_s(STREAMS, tokens, server_cpu, client_cpu) - _cpu_s(STREAMS, SHORT_TOKENS, server_cpu, client_cpu)
        )
        / (STREAMS * (tokens - SHORT_TOKENS))
        * 1e6,
    }


def _cpu_s(requests: int, tokens: int, server_cpu: int, client_cpu: int) -> float:
    """User and system time of one command, seconds."""
    line = json.dumps({"messages": [{"role": "user", "content": "Go on."}], "max_tokens": tokens})
    with (
        tempfile.TemporaryDirectory() as folder,
        MockServer(MockConfig(TTFT_S, 1 / CHUNKS_PER_S, cpu=server_cpu)) as server,
    ):
        path = Path(folder, "requests.jsonl")
        path.write_text(f"{line}\n" * requests)
        argv = ["taskset", "-c", str(client_cpu), sys.executable, "-m", "inferencebench", "measure"]
        argv += [f"http://127.0.0.1:{server.port}", "--requests", str(path), "--warmup", "0", "--json"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert json.loads(done.stdout)["succeeded"] == requests
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
