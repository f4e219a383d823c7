"""Steps of h100.py that are no command of the product: the weights alone, the wall from inside, and real faults."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from h100_plan import BASE, SUITE

PROBE = """
import ctypes, json, os, socket, sys, time
found = {"uid": os.getuid(), "processes": sum(name.isdigit() for name in os.listdir("/proc"))}
def refused(what, act):
    try:
        act()
        found[what] = "succeeded"
    except OSError as error:
        found[what] = f"refused: {error.strerror or error}"
refused("write_weights", lambda: open("/model/config.json", "a"))
refused("write_engine", lambda: open("/opt/ib/x", "w"))
refused("route_out", lambda: socket.create_connection(("1.1.1.1", 443), timeout=3))
refused("harness_home", lambda: os.listdir(sys.argv[1]))
def mount():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
refused("mount", mount)
refused("proc_sys", lambda: open("/proc/sys/kernel/hostname", "w"))
found["interfaces"] = [name for _, name in socket.if_nameindex()]
import torch
found["gpus"] = torch.cuda.device_count()
if found["gpus"]:
    found["device"] = torch.cuda.get_device_name(0)
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    torch.cuda.synchronize(); began = time.monotonic()
    for _ in range(10):
        a @ a
    torch.cuda.synchronize()
    found["bf16_tflops"] = round(10 * 2 * 8192**3 / (time.monotonic() - began) / 1e12)
    b = torch.empty(2**31, dtype=torch.int32, device="cuda"); c = torch.empty_like(b)
    c.copy_(b); torch.cuda.synchronize(); began = time.monotonic()
    for _ in range(5):
        c.copy_(b)
    torch.cuda.synchronize()
    found["copy_gb_per_s"] = round(5 * 2 * b.numel() * 4 / (time.monotonic() - began) / 1e9)
print(json.dumps(found))
"""
"""Run behind the wall with a GPU."""

FAULTS_SUITE = """
extends = "{suite}"
name = "h100-faults"
title = "Faults on a GPU"
description = "The smallest loads, and short limits: what goes wrong must end within them."
baseline_launches = 1

[quality]
questions = 10

[limits]
ready_s = {ready}
request_s = 30

[[scenarios]]
id = "A"
name = "prefill"
title = "Input heavy"
metric = "ttft_s"
input_tokens = 512
output_tokens = 16
temperature = 0.2
warmup_requests = 1

[[scenarios.profiles]]
name = "burst"
arrival = "burst"
requests = 4
concurrency = 1
"""
READY_S = 60
OWN = '"$IB_PYTHON" -m inferencebench.engines.pytorch serve --model "$MODEL_PATH" --served-name "$MODEL_ID"'
OWN += ' --host "$HOST" --port "$PORT"'
FILL = "import torch; x = [torch.empty(2**30, dtype=torch.uint8, device='cuda') for _ in range({})]"
LAUNCHERS = {
    "out_of_memory": f'exec "$IB_PYTHON" -c "{FILL.format(200)}"',
    "hangs": f'exec "$IB_PYTHON" -c "{FILL.format(4)}; import time; time.sleep(3600)"',
    # Once requests have been open for two seconds in all, the warm-up's one among them.
    "crashes_in_load": f"exec {OWN} & seen=0; while [ $seen -lt 20 ]; do sleep 0.1; "
    'grep -q "$(printf ":%04X .* 01 " $PORT)" /proc/net/tcp && seen=$((seen + 1)); done; kill -SEGV $!; wait $!',
    "leaves_memory": f'setsid "$IB_PYTHON" -c "{FILL.format(20)}; import time; time.sleep(3600)" & sleep 12; exit 3',
}
"""What the submission's launcher does."""


def weights() -> int:
    """Make both checkpoints where their sources are here; prints seconds."""
    from inferencebench.models.store import ensure_checkpoint
    from inferencebench.paths import cache_dir
    from inferencebench.suites.load import load

    began = time.monotonic()
    made = ensure_checkpoint(load(SUITE).model, cache_dir())
    print(f"{made.path}: {made.sha256[:16]}, {time.monotonic() - began:.1f} s")
    return 0


def wall() -> int:
    """What a program behind the wall can do: compute on the last GPU, and nothing else."""
    from inferencebench.doctor.gpu import scan_gpus
    from inferencebench.models.store import ensure_checkpoint
    from inferencebench.paths import cache_dir
    from inferencebench.sandbox import registry
    from inferencebench.serve.submission import server_spec
    from inferencebench.suites.load import load

    suite = load(SUITE)
    sandbox = registry.get()
    checkpoint = ensure_checkpoint(suite.model, cache_dir())
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as out:
        places = [Path(folder) / name for name in ("submission", "home")]
        for place in places:
            place.mkdir()
        spec, _ = server_spec(
            places[0], checkpoint.path, suite.model.id, cpus=None, memory_bytes=None, scratch=places[1],
            gpus=(len(scan_gpus().gpus) - 1,),
        )  # fmt: skip
        argv = [spec.env["IB_PYTHON"], "-c", PROBE, str(BASE)]
        process = sandbox.start(spec, argv, out, out)
        deadline = time.monotonic() + 90
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        report = process.terminate()
        out.seek(0)
        text = out.read().decode()
    print(f"sandbox {sandbox.name}, exit {process.poll()}, survivors {report.survivors}\n{text}")
    found = json.loads(text.splitlines()[-1])
    stands = not any(value == "succeeded" for value in found.values()) and not report.survivors
    return 0 if stands and found["gpus"] == 1 else 1


def faults() -> int:
    """Each fault as a submission of the ordinary pipeline, and memory that a stranger holds; writes faults.json."""
    folder = BASE / "faults"
    folder.mkdir(parents=True, exist_ok=True)
    suite = folder / "faults.toml"
    suite.write_text(FAULTS_SUITE.format(suite=SUITE, ready=READY_S))
    run = [sys.executable, "-m", "inferencebench", "run", str(suite), "A"]
    common = ["--out", str(folder / "runs"), "--json"]
    rows = [_row("baseline", [*run, "engine:pytorch", *common])]
    for name, launcher in LAUNCHERS.items():
        agent = folder / "agents" / name
        agent.mkdir(parents=True, exist_ok=True)
        text = f"#!/bin/bash\n{launcher}\n"
        (agent / "solve.sh").write_text(f"cat > submission/start_server.sh <<'SH'\n{text}SH\n")
        rows.append(_row(name, [*run, f"script:{agent}", *common]))
    code = f"{FILL.format(20)}; print('held', flush=True); import time; time.sleep(600)"
    stranger = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert stranger.stdout is not None
        stranger.stdout.readline()
        rows.append(_row("foreign_memory", [*run, "engine:pytorch", "--repeat", "1", "--preflight", *common]))
    finally:
        stranger.kill()
        stranger.wait()
    (folder / "faults.json").write_text(json.dumps(rows, indent=1) + "\n")
    for row in rows:
        print(json.dumps(row))
    return 0


def _row(name: str, command: list[str]) -> dict[str, object]:
    """How a run ended, how long it took, and what the GPU held before and after."""
    before, began = _used_mib(), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = round(time.monotonic() - began, 1)
    try:
        result = json.loads(done.stdout)
    except ValueError:
        result = {}
    failure = (result.get("measurement") or {}).get("failure") or {}
    return {
        "fault": name,
        "seconds": seconds,
        "exit": done.returncode,
        "outcome": result.get("outcome"),
        "reason": result.get("reason") or (done.stderr.strip().splitlines() or [""])[-1][:300],
        "log": str(failure.get("log_tail", "")).strip()[-300:],
        "gpu_used_mib": [before, _used_mib()],
    }


def _used_mib() -> int | None:
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
