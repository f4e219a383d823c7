"""AIPerf, a command-line peer of the load client, against the same mock server.

It runs as a whole program, so its CPU per chunk is the difference of a long and a short run over the difference of
their chunks: start-up and reports drop out. Its own report says what it saw; the mock's record says what was true.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from inferencebench.load.calibrate import CHUNKS_PER_S, STREAMS, TTFT_S
from inferencebench.load.mock import MockConfig, MockServer
from inferencebench.models.synthetic import train_tokenizer

SHORT_TOKENS = 2


def find() -> str | None:
    """The program, where it is installed."""
    return shutil.which(os.environ.get("AIPERF", "aiperf"))


def measure(program: str, tokens: int, server_cpu: int, client_cpu: int) -> dict[str, float]:
    """Figures of one long run; those that AIPerf does not report per chunk are left out."""
    with tempfile.TemporaryDirectory() as folder:
        train_tokenizer(512).save(f"{folder}/tokenizer.json")
        Path(folder, "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
        short_cpu_s, _, _ = _run(program, Path(folder), SHORT_TOKENS, server_cpu, client_cpu)
        cpu_s, report, true_ttft_ms = _run(program, Path(folder), tokens, server_cpu, client_cpu)
    return {
        "cpu_us_per_chunk": (cpu_s - short_cpu_s) / (STREAMS * (tokens - SHORT_TOKENS)) * 1e6,
        "ttft_error_mean_ms": report["time_to_first_token"]["avg"] - statistics.fmean(true_ttft_ms),
        "tpot_error_us": abs(report["inter_token_latency"]["avg"] - 1e3 / CHUNKS_PER_S) * 1e3,
    }


def _run(
    program: str, folder: Path, tokens: int, server_cpu: int, client_cpu: int
) -> tuple[float, dict[str, dict[str, float]], list[float]]:
    """CPU seconds, AIPerf's report, and the true TTFT of each request in milliseconds."""
    out = folder / f"out-{tokens}"
    with MockServer(MockConfig(TTFT_S, 1 / CHUNKS_PER_S, cpu=server_cpu)) as server:
        argv = [program, "profile", "--model", "mock", "--url", f"http://127.0.0.1:{server.port}"]
        argv += ["--endpoint-type", "chat", "--streaming", "--ui", "none", "--extra-inputs", "ignore_eos:true"]
        argv += ["--concurrency", str(STREAMS), "--request-count", str(STREAMS), "--isl", "20", "--osl", str(tokens)]
        argv += ["--tokenizer", str(folder), "--use-server-token-count", "--artifact-dir", str(out)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        pin = ["taskset", "-c", str(client_cpu)]
        subprocess.run([*pin, *argv], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        log = server.stop()
    report = json.loads((out / "profile_export_aiperf.json").read_bytes())
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu_s, report, [(row.sent_ns[0] - row.received_ns) / 1e6 for row in log]
