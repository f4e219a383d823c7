"""The load client against other Python clients, all measured against the mock server's own record.

    python benchmarks/bench_load.py [--seconds 3] [--repeats 3] [--clients inferencebench,httpx]

64 streams of 100 chunks/s. The server is pinned to core 0, each client to core 1 in a process of its own. CPU is user
and system time of the client's process, parsing included, imports not. Medians over the repeats; last line: JSON.
AIPerf and GuideLLM are rows where their programs are on the PATH (or named by $AIPERF, $GUIDELLM). At the end the whole
command `inferencebench measure`: its start-up, and its CPU per chunk with every metric and the report.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import cli_peers
import whole_command

from inferencebench.load import client, parse
from inferencebench.load.calibrate import CHUNKS_PER_S, STREAMS, TTFT_S, Observed, burst_plan, compare, observed
from inferencebench.load.mock import MockConfig, MockServer, request_number, words
from inferencebench.load.model import LoadPlan, Recorder
from inferencebench.load.wire import tcp_target

SERVER_CPU, CLIENT_CPU = 0, 1
MODULES = {
    "inferencebench": "inferencebench",
    "portable": "inferencebench",
    "protocol": "uvloop",
    "httpx": "httpx",
    "aiohttp": "aiohttp",
    "openai": "openai",
}
"""Clients, and the module that each needs. portable: our fallback, the same loop over select.poll with user-space
stamps. protocol: asyncio.Protocol on uvloop with our recorder and parser."""

OWN: dict[str, Recorder] = {"inferencebench": "auto", "portable": "portable", "protocol": "auto"}
Seen = dict[int, Observed]


class Stream:
    """Times of one stream as an ordinary client takes them: when a parsed delta is in hand."""

    def __init__(self) -> None:
        self.sent_ns = time.monotonic_ns()
        self.chunks_ns: list[int] = []
        self.first = ""

    def line(self, line: str) -> None:
        """Take one line of the event stream."""
        if not line.startswith("data: ") or line == "data: [DONE]":
            return
        choices = json.loads(line[6:])["choices"]
        if choices:
            self.text(choices[0]["delta"].get("content"))

    def text(self, text: str | None) -> None:
        """Take one delta."""
        if text:
            self.chunks_ns.append(time.monotonic_ns())
            self.first = self.first or text


async def with_httpx(url: str, body: bytes) -> list[Stream]:
    import httpx

    async def one(client: httpx.AsyncClient) -> Stream:
        stream = Stream()
        headers = {"Content-Type": "application/json"}
        async with client.stream("POST", f"{url}/chat/completions", content=body, headers=headers) as response:
            async for line in response.aiter_lines():
                stream.line(line)
        return stream

    limits = httpx.Limits(max_connections=STREAMS)
    async with httpx.AsyncClient(limits=limits, timeout=120) as client:
        return await asyncio.gather(*(one(client) for _ in range(STREAMS)))


async def with_aiohttp(url: str, body: bytes) -> list[Stream]:
    import aiohttp

    async def one(session: Any) -> Stream:
        stream = Stream()
        headers = {"Content-Type": "application/json"}
        async with session.post(f"{url}/chat/completions", data=body, headers=headers) as response:
            async for line in response.content:
                stream.line(line.decode().rstrip("\n"))
        return stream

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=STREAMS)) as session:
        return await asyncio.gather(*(one(session) for _ in range(STREAMS)))


async def with_openai(url: str, body: bytes) -> list[Stream]:
    import openai

    request = json.loads(body)
    extra = {"ignore_eos": request.pop("ignore_eos")}

    async def one(client: Any) -> Stream:
        stream = Stream()
        async for event in await client.chat.completions.create(**request, extra_body=extra):
            if event.choices:
                stream.text(event.choices[0].delta.content)
        return stream

    async with openai.AsyncOpenAI(base_url=url, api_key="none", timeout=120) as client:
        return await asyncio.gather(*(one(client) for _ in range(STREAMS)))


PEERS: dict[str, Callable[[str, bytes], Awaitable[list[Stream]]]] = {
    "httpx": with_httpx,
    "aiohttp": with_aiohttp,
    "openai": with_openai,
}


FREE_RUNNING = 5
"""How many times the chunks of the timed load a free-running server sends: a rate, not the set-up of 64 streams."""


def child(name: str, port: int, plan: LoadPlan) -> None:
    """Run one client in this process and print what it saw as JSON."""
    os.sched_setaffinity(0, {CLIENT_CPU})
    if name in OWN:
        target = tcp_target("127.0.0.1", port)
        run = importlib.import_module("protocol_peer").run if name == "protocol" else client.run
        before = time.process_time()
        recording = run(target, plan)
        samples = parse.samples(recording, words)
        cpu_s = time.process_time() - before
        seen = observed(samples, recording.start_ns)
    else:
        importlib.import_module(MODULES[name])
        before = time.process_time()
        streams = asyncio.run(PEERS[name](f"http://127.0.0.1:{port}/v1", plan.requests[0].body))  # type: ignore[arg-type]
        cpu_s = time.process_time() - before
        seen = {request_number(s.first): Observed(s.sent_ns, s.chunks_ns) for s in streams}
    print(json.dumps({"cpu_s": cpu_s, "seen": {number: [s.sent_ns, list(s.chunks_ns)] for number, s in seen.items()}}))


def run_child(name: str, config: MockConfig, tokens: int) -> tuple[float, Seen, list[Any]]:
    """One client process against a fresh mock: its CPU seconds, what it saw, the mock's record."""
    with MockServer(config) as server:
        argv = [sys.executable, __file__, "--child", name, "--port", str(server.port), "--tokens", str(tokens)]
        answer = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)
        log = server.stop()
    seen = {int(number): Observed(sent, chunks) for number, (sent, chunks) in answer["seen"].items()}
    return answer["cpu_s"], seen, log


def measure(name: str, seconds: float) -> dict[str, float]:
    """All figures of one client, once."""
    tokens = round(seconds * CHUNKS_PER_S)
    cpu_s, seen, log = run_child(name, MockConfig(TTFT_S, 1 / CHUNKS_PER_S, cpu=SERVER_CPU), tokens)
    error = compare(seen, log)
    free_tokens = FREE_RUNNING * tokens
    free_cpu_s, _, _ = run_child(name, MockConfig(0.0, 0.0, cpu=SERVER_CPU), free_tokens)
    return {
        "cpu_us_per_chunk": cpu_s / (STREAMS * tokens) * 1e6,
        "chunks_per_cpu_s": STREAMS * free_tokens / free_cpu_s,
        "ttft_error_mean_ms": error.ttft_error_s.mean * 1e3,
        "ttft_error_p99_ms": error.ttft_error_s.p99 * 1e3,
        "lateness_p50_ms": error.chunk_lateness_s.p50 * 1e3,
        "lateness_p99_ms": error.chunk_lateness_s.p99 * 1e3,
        "tpot_error_us": error.tpot_error_s * 1e6,
    }


COLUMNS = {
    "cpu_us_per_chunk": 3,
    "chunks_per_cpu_s": 0,
    "ttft_error_mean_ms": 3,
    "ttft_error_p99_ms": 3,
    "lateness_p50_ms": 3,
    "lateness_p99_ms": 3,
    "tpot_error_us": 3,
}


def show(name: str, row: dict[str, float], *, head: bool) -> None:
    """One row of the table, under its head if it is the first."""
    if head:
        print(" " * 16 + "".join(f"{key:>20}" for key in COLUMNS))
    cells = (f"{row[key]:.{digits}f}" if key in row else "-" for key, digits in COLUMNS.items())
    print(f"{name:16}" + "".join(f"{cell:>20}" for cell in cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clients", default=",".join(MODULES))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--tokens", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        recorder = OWN.get(options.child, "auto")
        child(options.child, options.port, burst_plan(STREAMS, options.tokens, CLIENT_CPU, recorder))
        return
    rows: dict[str, dict[str, float]] = {}
    for name in options.clients.split(","):
        if importlib.util.find_spec(MODULES[name]) is None:
            print(f"{name:16} not installed")
            continue
        runs = [measure(name, options.seconds) for _ in range(options.repeats)]
        rows[name] = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        show(name, rows[name], head=len(rows) == 1)
    tokens = round(options.seconds * CHUNKS_PER_S)
    for name in cli_peers.PEERS:
        if (program := cli_peers.find(name)) is None:
            print(f"{name:16} not installed")
            continue
        rows[name] = cli_peers.measure(name, program, max(tokens, cli_peers.LEAST_TOKENS), SERVER_CPU, CLIENT_CPU)
        show(name, rows[name], head=len(rows) == 1)
    commands = [whole_command.figures(tokens, SERVER_CPU, CLIENT_CPU) for _ in range(options.repeats)]
    command = {key: statistics.median(one[key] for one in commands) for key in commands[0]}
    print(
        f"inferencebench measure, the whole command: {command['start_up_cpu_s']:.3f} s of CPU to start, "
        f"{command['cpu_us_per_chunk']:.3f} us per chunk with all metrics"
    )
    setting = {"streams": STREAMS, "chunks_per_s": CHUNKS_PER_S, "load_1min": os.getloadavg()[0]}
    print(json.dumps({**setting, "rows": rows, "command": command}))


if __name__ == "__main__":
    main()
