"""The workspace an agent starts from, and the sandbox spec it works in."""

import json
from pathlib import Path

from inferencebench.files import write_atomic, write_jsonl
from inferencebench.paths import HARNESS_SOCKET, MODEL, WORKSPACE
from inferencebench.run.bench import Bench
from inferencebench.run.spec import RunSpec
from inferencebench.sandbox.contract import Mount, SandboxSpec
from inferencebench.sandbox.environment import engine_view
from inferencebench.serve.submission import MAX_PROCESSES
from inferencebench.workload.model import RequestSet

TOOLS = ("evaluate", "timer", "test_server")
PUBLIC_PROMPTS = 4096
"""At most this many dev requests are written into the workspace."""


def build(workspace: Path, spec: RunSpec, bench: Bench, dev: RequestSet) -> None:
    """Fill an empty workspace: the tools, the dev requests, the facts of the task, an empty submission."""
    (workspace / "submission").mkdir(parents=True)
    for tool in TOOLS:
        path = workspace / tool
        write_atomic(path, f'#!/bin/sh\nexec "$IB_PYTHON" -m inferencebench.run.tools {tool} "$@"\n')
        path.chmod(0o755)
    write_jsonl(workspace / "dev_requests.jsonl", [r.model_dump(mode="json") for r in dev.requests[:PUBLIC_PROMPTS]])
    write_atomic(workspace / "task.json", json.dumps(facts(spec, bench), indent=1) + "\n")


def facts(spec: RunSpec, bench: Bench) -> dict[str, object]:
    """The task as data: what is served, how it will be measured, and the limits."""
    suite, scenario = spec.suite, spec.the_scenario
    return {
        "suite": suite.name,
        "scenario": scenario.model_dump(mode="json"),
        "lower_is_better": scenario.metric.lower_is_better,
        "model_id": suite.model.id,
        "model_path": MODEL,
        "server_cpus": len(bench.cores.server),
        "budget_s": spec.budget_s,
        "ready_limit_s": suite.limits.ready_s,
        "submission_limit_gib": suite.limits.submission_gib,
        "quality": {"tau": suite.quality.tau, "questions": suite.quality.questions},
        "submission": "leave submission/start_server.sh: it runs in the foreground, serves $MODEL_ID from $MODEL_PATH "
        "on $HOST:$PORT with GET /v1/models and streaming POST /v1/chat/completions",
    }


def task_text(spec: RunSpec, bench: Bench) -> str:
    """The task in words; its numbers are those of `task.json`."""
    given = facts(spec, bench)
    return (
        f"Make an LLM server as fast as you can on this machine. You have {spec.budget_s / 60:g} minutes; ./timer "
        f"tells what is left. Your task: {given['submission']}. /workspace/task.json has the scenario, its metric and "
        "the limits; dev_requests.jsonl has requests like those that will be timed. ./test_server starts the "
        "submission once; ./evaluate --quick measures it from outside, ./evaluate in full. When the time is over, "
        "only /workspace/submission is kept: it is started anew without a network, timed on unseen requests, and must "
        "answer questions about as well as the unchanged model. Serve the model itself: no prepared texts, no other "
        "model.\n"
    )


def session_spec(workspace: Path, socket_dir: Path, bench: Bench) -> SandboxSpec:
    """Sandbox of the agent's session: the workspace writable, model and engines read-only, no route out."""
    view = engine_view()
    memory = bench.suite.hardware.memory_limit_gib
    return SandboxSpec(
        cwd=WORKSPACE,
        mounts=(
            Mount(workspace, WORKSPACE, writable=True),
            Mount(bench.checkpoint.path, MODEL),
            Mount(socket_dir, str(Path(HARNESS_SOCKET).parent)),
            *view.mounts,
        ),
        masked=view.masked,
        env={
            **view.env,
            "MODEL_PATH": MODEL,
            "MODEL_ID": bench.suite.model.id,
            "IB_SOCKET": HARNESS_SOCKET,
            "IB_WORKSPACE": WORKSPACE,
        },
        cpus=bench.cores.server,
        memory_bytes=int(memory * 2**30) if memory else None,
        max_processes=MAX_PROCESSES,
        gpus=bench.gpus,
    )
