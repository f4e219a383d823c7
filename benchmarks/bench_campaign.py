"""What a campaign costs beside its runs: planning and watching 2,160 runs, copying their records, and starting real
runs one after another. Prints a table, then one line of JSON.

Usage: python benchmarks/bench_campaign.py [runs]. The records of the 2,160 runs are made up; the runs that are started
(8 by default) are real ones of the laptop's model whose server fails at once, so that nearly all of their time is the
harness's."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
SUITE = ROOT / "tests" / "cluster" / "short.toml"
PLAN_S, STATUS_S, OVERHEAD_S = 2.0, 2.0, 20.0
AGENTS, BUDGETS = 15, (3600, 7200, 14400)
SUITES = ("h100-mistral-7b", "h100-qwen3-8b", "a100-mistral-7b", "h100-deepseek-v2-lite")


def command(*words: object) -> tuple[float, dict[str, Any]]:
    """Seconds of a command of ours, start of the interpreter included, and its JSON."""
    started = time.monotonic()
    argv = [sys.executable, "-m", "inferencebench", "campaign", *map(str, words), "--json"]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return time.monotonic() - started, json.loads(done.stdout)


def large(folder: Path) -> dict[str, float]:
    """Plan, status and copy of 2,160 runs and their baselines."""
    file, out = folder / "large.toml", folder / "large"
    agents = [f"claude-code:m{number}" for number in range(AGENTS)]
    conditions = ", ".join(f"{{ budget_s = {seconds} }}" for seconds in BUDGETS)
    file.write_text(
        f'name = "large"\n[matrix]\nsuites = {json.dumps(SUITES)}\nagents = {json.dumps(agents)}\n'
        f"conditions = [{conditions}]\n"
    )
    plan_s, plan = command("plan", file)
    rows = []
    for task in plan["tasks"]:
        run = out / task["directory"]
        run.mkdir(parents=True)
        record = {"outcome": "passed", "cost": {"api_usd": 1.5}, "measurement": "x" * 20_000}
        (run / "result.json").write_text(json.dumps(record))
        (run / "events.jsonl").write_text('{"event":"phase_started"}\n' * 20)
        rows += [{"at": 1.0, "event": "placed", "task": task["id"], "handle": "h"}]
        rows += [{"at": 2.0, "event": "began", "task": task["id"], "where": "n1"}]
        rows += [{"at": 3.0, "event": "ended", "task": task["id"], "reason": "", "ran_s": 3600.0}]
    (out / ".campaign").mkdir()
    (out / ".campaign" / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.sync()
    status_s, status = command("status", file, "--out", out)
    assert status["states"] == {"done": len(plan["tasks"])}
    copy_s, copied = command("sync", file, folder / "copy", "--out", out)
    again_s, _ = command("sync", file, folder / "copy", "--out", out)
    return {
        "runs": sum(task["after"] is not None for task in plan["tasks"]), "plan_s": plan_s, "status_s": status_s,
        "sync_files": copied["copied"], "sync_s": copy_s, "sync_again_s": again_s,
    }  # fmt: skip


def real(folder: Path, runs: int) -> dict[str, float]:
    """Real runs, one after another: from placing one to the end of its process, less the time in phases and waiting
    for a device that another campaign holds."""
    agent, file, out = folder / "broken", folder / "real.toml", folder / "real"
    agent.mkdir()
    (agent / "solve.sh").write_text("echo 'exit 1' > submission/start_server.sh\n")
    file.write_text(
        f'name = "real"\n[matrix]\nsuites = ["{SUITE}"]\nagents = ["script:{agent}"]\nrepeats = {runs}\n'
        "seed_pairs = [{ dev = 21, eval = 1337 }]\n"
    )
    wall_s, status = command("run", file, "--out", out)
    journal = [json.loads(line) for line in (out / ".campaign" / "tasks.jsonl").read_text().splitlines()]
    at = {(row["task"], row["event"]): row["at"] for row in journal}
    overheads = []
    for row in status["tasks"]:
        events = [json.loads(line) for line in (out / row["directory"] / "events.jsonl").read_text().splitlines()]
        phases_s = sum(event["seconds"] for event in events if event["event"] == "phase_finished")
        held = next(n for n, event in enumerate(events) if event["event"] == "device_held")
        waited_s = events[held]["at"] - events[held - 1]["at"]
        overheads.append(at[row["id"], "ended"] - at[row["id"], "placed"] - phases_s - waited_s)
    return {
        "real_runs": len(overheads), "overhead_median_s": median(overheads), "overhead_max_s": max(overheads),
        "real_wall_s": wall_s,
    }  # fmt: skip


def main() -> None:
    """Measure, print, and fail beyond a limit."""
    with tempfile.TemporaryDirectory(prefix="bench-campaign-") as name:
        found = large(Path(name)) | real(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else 8)
    lines = [
        (f"plan of {found['runs']:.0f} runs", found["plan_s"], PLAN_S),
        (f"status of {found['runs']:.0f} runs", found["status_s"], STATUS_S),
        (f"sync of {found['sync_files']:.0f} files", found["sync_s"], None),
        ("sync again, nothing new", found["sync_again_s"], None),
        (f"overhead of a run (median of {found['real_runs']:.0f})", found["overhead_median_s"], OVERHEAD_S),
        ("overhead of a run (worst)", found["overhead_max_s"], OVERHEAD_S),
    ]
    print(f"{'':<36} {'seconds':>8} {'limit':>6}")
    for what, seconds, limit in lines:
        print(f"{what:<36} {seconds:>8.2f} {limit or '':>6}")
    ok = all(limit is None or seconds < limit for _, seconds, limit in lines)
    print(json.dumps({key: round(value, 3) for key, value in found.items()} | {"within_limits": ok}))
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
