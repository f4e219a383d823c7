"""Command-line peers of the load client, AIPerf and GuideLLM, against the same mock server, where they are installed.

They run as whole programs, so the CPU per chunk is the difference of a long and a short run over the difference of
their chunks: start-up and reports drop out. Their own reports say what they saw; the mock's record says what was true.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from inferencebench.load.calibrate import CHUNKS_PER_S, STREAMS, TTFT_S
from inferencebench.load.mock import MockConfig, MockServer
from inferencebench.models.synthetic import train_tokenizer

SHORT_TOKENS = 2
LEAST_TOKENS = 1000
"""Of a long run: the CPU of a start-up varies by seconds, and must be small beside that of the chunks."""
TIMEOUT_S = 300


class Report(NamedTuple):
    """What a peer says it saw, milliseconds."""

    ttft_mean_ms: float
    itl_mean_ms: float


class Peer(NamedTuple):
    """One program: how to run it with (URL, tokens, tokenizer's folder, output folder), and how to read its report."""

    arguments: Callable[[str, int, Path, Path], list[str]]
    report: Callable[[Path], Report]


def _aiperf(url: str, tokens: int, tokenizer: Path, out: Path) -> list[str]:
    argv = ["profile", "--model", "mock", "--url", url, "--endpoint-type", "chat", "--streaming", "--ui", "none"]
    argv += ["--concurrency", str(STREAMS), "--request-count", str(STREAMS), "--isl", "20", "--osl", str(tokens)]
    argv += ["--extra-inputs", "ignore_eos:true", "--tokenizer", str(tokenizer), "--use-server-token-count"]
    return [*argv, "--artifact-dir", str(out)]


def _aiperf_report(out: Path) -> Report:
    report = json.loads((out / "profile_export_aiperf.json").read_bytes())
    return Report(report["time_to_first_token"]["avg"], report["inter_token_latency"]["avg"])


def _guidellm(url: str, tokens: int, tokenizer: Path, out: Path) -> list[str]:
    argv = ["run", "--backend", f"kind=openai_http,target={url},model=mock", "--disable-console"]
    argv += ["--profile", f"kind=concurrent,streams={STREAMS}", "--constraint", f"kind=max_requests,count={STREAMS}"]
    argv += ["--data", f"kind=synthetic_text,prompt_tokens=20,output_tokens={tokens}"]
    argv += ["--tokenizer", f"kind=huggingface_auto,model={tokenizer}"]
    return [*argv, "--output", f"kind=json,path={out / 'report.json'}"]


def _guidellm_report(out: Path) -> Report:
    metrics: dict[str, Any] = json.loads((out / "report.json").read_bytes())["benchmarks"][0]["metrics"]

    def mean(name: str) -> float:
        return float(metrics[name]["successful"]["mean"])

    return Report(mean("time_to_first_token_ms"), mean("inter_token_latency_ms"))


PEERS: Mapping[str, Peer] = {
    "aiperf": Peer(_aiperf, _aiperf_report),
    "guidellm": Peer(_guidellm, _guidellm_report),
}


def find(name: str) -> str | None:
    """The program: on the PATH, or named by $AIPERF, $GUIDELLM."""
    return shutil.which(os.environ.get(name.upper(), name))


def measure(name: str, program: str, tokens: int, server_cpu: int, client_cpu: int) -> dict[str, float]:
    """Figures of one long run; those that the peer does not report per chunk are left out."""
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        train_tokenizer(512).save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
        cpu = server_cpu, client_cpu
        short_cpu_s, _, _ = _run(PEERS[name], program, folder, SHORT_TOKENS, *cpu)
        cpu_s, report, true_ttft_ms = _run(PEERS[name], program, folder, tokens, *cpu)
    return {
        "cpu_us_per_chunk": (cpu_s - short_cpu_s) / (STREAMS * (tokens - SHORT_TOKENS)) * 1e6,
        "ttft_error_mean_ms": report.ttft_mean_ms - statistics.fmean(true_ttft_ms),
        "tpot_error_us": abs(report.itl_mean_ms - 1e3 / CHUNKS_PER_S) * 1e3,
    }


def _run(
    peer: Peer, program: str, folder: Path, tokens: int, server_cpu: int, client_cpu: int
) -> tuple[float, Report, list[float]]:
    """CPU seconds, the peer's report, and the true TTFT of each request in milliseconds."""
    out = folder / f"out-{tokens}"
    out.mkdir()
    with MockServer(MockConfig(TTFT_S, 1 / CHUNKS_PER_S, cpu=server_cpu)) as server:
        argv = [program, *peer.arguments(f"http://127.0.0.1:{server.port}", tokens, folder, out)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        pin = ["taskset", "-c", str(client_cpu)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([*pin, *argv], check=True, timeout=TIMEOUT_S, **quiet)  # type: ignore[call-overload]
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        log = server.stop()
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu_s, peer.report(out), [(row.sent_ns[0] - row.received_ns) / 1e6 for row in log]
