"""The workspace an agent starts from, and the sandbox spec it works in."""

import json
from pathlib import Path

from inferencebench.engines import registry as engines
from inferencebench.errors import MissingError
from inferencebench.files import write_atomic, write_jsonl
from inferencebench.paths import HARNESS_SOCKET, MODEL, WORKSPACE
from inferencebench.prompts.render import machine_facts, render
from inferencebench.run.bench import Bench
from inferencebench.run.spec import EMPTY_START, RunSpec
from inferencebench.sandbox.contract import Mount, SandboxSpec
from inferencebench.sandbox.environment import engine_view
from inferencebench.serve.submission import LAUNCHER, MAX_PROCESSES, disk_bytes
from inferencebench.workload.model import RequestSet

TOOLS = ("evaluate", "timer", "test_server")
PUBLIC_PROMPTS = 4096
"""At most this many dev requests are written into the workspace."""


def build(workspace: Path, spec: RunSpec, bench: Bench, dev: RequestSet) -> str:
    """Fill an empty workspace: the tools, the dev requests, the task as data and in words, and the submission that the
    condition starts from. Gives the task's text.

    Raises MissingError when the engine of a warm start is not installed."""
    (workspace / "submission").mkdir(parents=True)
    for tool in tools(spec):
        path = workspace / tool
        write_atomic(path, f'#!/bin/sh\nexec "$IB_PYTHON" -m inferencebench.run.tools {tool} "$@"\n')
        path.chmod(0o755)
    write_jsonl(workspace / "dev_requests.jsonl", [r.model_dump(mode="json") for r in dev.requests[:PUBLIC_PROMPTS]])
    write_atomic(workspace / "task.json", json.dumps(facts(spec, bench), indent=1) + "\n")
    start(workspace / "submission", spec)
    text = render(spec, machine_facts(spec.suite, bench.hardware, len(bench.cores.server), len(bench.gpus)))
    write_atomic(workspace / "PROMPT.md", text)
    return text


def tools(spec: RunSpec) -> tuple[str, ...]:
    """Names of the workspace's tools under the spec's condition."""
    return (*TOOLS, "ledger") if spec.condition.prompt == "ledger" else TOOLS


def start(submission: Path, spec: RunSpec) -> None:
    """Put the default launcher of the condition's engine into `submission`; nothing for an empty start.

    Raises MissingError when that engine is not installed."""
    if spec.condition.start == EMPTY_START:
        return
    engine = engines.get(spec.condition.start)
    if not (found := engine.availability()).ok:
        raise MissingError(f"--start {engine.name}: {found.detail}; {found.remedy}")
    script = submission / LAUNCHER
    write_atomic(script, engine.default_launcher())
    script.chmod(0o755)


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
        disk_bytes=disk_bytes(bench.suite.limits.submission_gib),
        gpus=bench.gpus,
    )
