"""`./test_server`: start the submission here, ask it one thing, stop it. A smoke test, not a measurement."""

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

POLL_S = 0.25


def main(argv: list[str]) -> int:
    """Exit code 0 when the server became ready and streamed an answer."""
    parser = argparse.ArgumentParser(prog="./test_server", description="Start submission/start_server.sh and ask once.")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds until ready (default 300)")
    options = parser.parse_args(argv)
    script = Path(os.environ["IB_WORKSPACE"]) / "submission" / "start_server.sh"
    if not script.is_file():
        print(f"{script}: not there; write it first", file=sys.stderr)
        return 1
    server = subprocess.Popen(["/bin/bash", str(script)], cwd=script.parent, start_new_session=True)
    try:
        return _ready_and_answering(server, options.timeout)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _ready_and_answering(server: subprocess.Popen[bytes], timeout_s: float) -> int:
    started = time.monotonic()
    while time.monotonic() - started < timeout_s:
        if server.poll() is not None:
            print(f"the server exited with code {server.returncode}", file=sys.stderr)
            return 1
        try:
            models = json.loads(_request("GET", "/v1/models", None))
        except (OSError, http.client.HTTPException, ValueError):
            time.sleep(POLL_S)
            continue
        print(f"ready after {time.monotonic() - started:.1f} s: {[m['id'] for m in models['data']]}")
        print(_first_words())
        return 0
    print(f"not ready within {timeout_s:g} s", file=sys.stderr)
    return 1


def _first_words() -> str:
    body = {
        "model": os.environ["MODEL_ID"],
        "messages": [{"role": "user", "content": "Say hello."}],
        "max_tokens": 16,
        "temperature": 0,
        "stream": True,
    }
    lines = _request("POST", "/v1/chat/completions", json.dumps(body).encode()).decode().splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    return "".join(c["delta"].get("content") or "" for e in events for c in e["choices"])


def _request(method: str, path: str, body: bytes | None) -> bytes:
    connection = http.client.HTTPConnection(os.environ["HOST"], int(os.environ["PORT"]), timeout=120)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    data = response.read()
    if response.status != 200:
        raise http.client.HTTPException(f"{path}: HTTP {response.status}: {data[:200]!r}")
    return data
