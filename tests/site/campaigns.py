"""Made-up campaigns with every file that the site reads: run records by the real models, samples, transcripts."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from inferencebench.agents.trajectory import Step, StepKind
from inferencebench.agents.usage import Usage
from inferencebench.files import canonical_json
from inferencebench.gates.integrity.model import CheckResult, IntegrityResult, Verdict
from inferencebench.gates.quality import QualityResult
from inferencebench.load.metrics import by_profile, measurement
from inferencebench.load.model import ChunkSample, Samples
from inferencebench.load.store import write_samples
from inferencebench.run.record import (
    BaselineRef,
    BestSeen,
    Cost,
    Evaluation,
    Launch,
    Measured,
    MetricValue,
    Outcome,
    Result,
)
from inferencebench.run.spec import Condition, RunSpec
from inferencebench.suites.load import load
from inferencebench.suites.model import Metric, ScenarioName, SeedPair, Suite
from tests.run.records import quality, request_sample, result

HOSTILE = '<script>document.title="taken"</script><img src=x onerror=alert(1)> </script> {{ 7*7 }} \u202e__proto__'
"""What an agent may write anywhere."""

SECRET = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789"
BUDGET_S = 1800.0
SCORES = {
    ScenarioName.PREFILL: 3.4,
    ScenarioName.DECODE: 8.0,
    ScenarioName.THROUGHPUT: 24.0,
    ScenarioName.BALANCED: 3.1,
}
BASELINES = {Metric.TTFT: 0.84, Metric.TPOT: 0.041, Metric.REQUESTS_PER_S: 0.132, Metric.BALANCED: 1.68}
OUTCOMES = (Outcome.QUALITY_FAILED, Outcome.SERVER_FAILED, Outcome.INTEGRITY_FLAGGED, Outcome.QUALITY_INCOMPLETE)


class Row(NamedTuple):
    """One agent, how good it is, and where it fails."""

    agent: str
    factor: float
    fails: float = 0.0
    condition: Condition = Condition()


AGENTS = (
    Row("engine:pytorch", 0.0),
    Row("search:smac?engine=vllm", 1.4),
    Row("search:random?engine=vllm", 1.1),
    Row("engine:vllm", 0.45),
    Row("engine:sglang", 0.4),
    Row("claude-code:claude-sonnet-4-6", 1.0, 0.1),
    Row("codex:gpt-5.4?effort=high", 0.7, 0.3),
    Row("opencode:glm-5", 0.8, 0.2),
    Row("opencode:gemini-3.1-pro", 0.75, 0.15),
    Row("claude-code:claude-haiku-4-5", 0.25, 0.5),
    Row("claude-code:claude-haiku-4-5", 0.15, 0.6, Condition(budget_s=600)),
    Row("claude-code:claude-haiku-4-5", 0.3, 0.4, Condition(budget_s=3600)),
    Row("script:examples/pick_fastest", 0.6),
    Row(f"claude-code:{HOSTILE}", 0.5, 0.3),
    Row("codex:gpt-5.3-codex", 0.65, 0.2),
)


def campaign(
    out: Path, rows: tuple[Row, ...] = AGENTS, *, transcript_bytes: int = 20_000, requests: int = 24
) -> list[Path]:
    """A campaign of the laptop suite: every row on four scenarios and three seed pairs. The run directories."""
    suite = load("laptop")
    draw = random.Random(7)
    return [
        run(out, suite, scenario, row, pair, draw, transcript_bytes=transcript_bytes, requests=requests)
        for row in rows
        for scenario in SCORES
        for pair in suite.seed_pairs
    ]


def run(
    out: Path,
    suite: Suite,
    scenario: ScenarioName,
    row: Row,
    pair: SeedPair,
    draw: random.Random,
    *,
    transcript_bytes: int,
    requests: int,
) -> Path:
    """One run directory."""
    spec = RunSpec.create(
        suite,
        scenario=scenario,
        agent=row.agent,
        agent_sha256="",
        condition=row.condition,
        seed_pair=pair,
        sandbox="bubblewrap",
    )
    folder = spec.directory(out)
    _write(folder / "spec.json", spec.model_dump_json())
    raw = 1.0 if not row.factor else max(0.6, SCORES[scenario] * row.factor * draw.uniform(0.75, 1.25))
    outcome = draw.choice(OUTCOMES) if draw.random() < row.fails else Outcome.PASSED
    record = _record(spec, raw, outcome, draw)
    evaluations = (
        _evaluations(record, raw, spec.budget_s, draw) if row.factor and not row.agent.startswith("engine") else ()
    )
    if evaluations:
        record = record.model_copy(
            update={
                "best_seen": BestSeen(
                    evaluation=1,
                    value=evaluations[-1].value or 1.0,
                    submission_sha256="b" * 64,
                    is_final=draw.random() < 0.6,
                )
            }
        )
    record = record.model_copy(update={"measurement": _samples(folder, raw, requests, draw)})
    _session(folder, row.agent, spec.budget_s, evaluations)
    launchers = _launchers(row.agent, draw)
    _submission(folder, row.agent, launchers[-1])
    if evaluations and not row.agent.startswith(("search", "script")):
        _transcript(folder / "solve" / "trajectory.jsonl", transcript_bytes, launchers, draw)
    _write(folder / "result.json", record.model_dump_json(indent=1))
    return folder


def _record(spec: RunSpec, raw: float, outcome: Outcome, draw: random.Random) -> Result:
    metric = next(s.metric for s in spec.suite.scenarios if s.name == spec.scenario)
    base = BASELINES[metric]
    failed = outcome is Outcome.SERVER_FAILED
    value = base / raw if metric.lower_is_better else base * raw
    plain = result(
        agent=spec.agent,
        scenario=spec.scenario,
        speedup=raw if outcome is Outcome.PASSED and raw > 1 else 1.0,
        raw_speedup=None if failed else raw,
        pair=(spec.seed_pair.dev, spec.seed_pair.eval),
        outcome=outcome,
    )
    return plain.model_copy(
        update={
            "suite": spec.suite.name,
            "condition": spec.condition.name,
            "reason": "passed both gates and faster"
            if outcome is Outcome.PASSED
            else f"{outcome.value}: as the evidence says",
            "raw_speedup_ci95": None if failed else (raw * 0.96, raw * 1.05),
            "metric": MetricValue(name=metric, value=None if failed else value, baseline=base),
            "quality": None if failed else _quality(outcome),
            "integrity": None if failed else _integrity(outcome),
            "baseline": BaselineRef(key="k", sha256=f"{spec.scenario}{spec.seed_pair}", directory="baseline"),
            "cost": Cost(
                solve_s=spec.budget_s * 0.9,
                measure_s=240.0,
                quality_s=60.0,
                total_s=spec.budget_s * 0.9 + 320,
                api_usd=draw.uniform(1, 40) if "code" in spec.agent else None,
            ),
            "provenance": plain.provenance.model_copy(
                update={"salt_sha256": "a1b2c3d4" * 8, "software": {"vllm": "0.32.0"}}
            ),
        }
    )


def _quality(outcome: Outcome) -> QualityResult:
    correct = 30 if outcome is Outcome.QUALITY_FAILED else 47
    return quality(correct, 20 if outcome is Outcome.QUALITY_INCOMPLETE else 60)


def _integrity(outcome: Outcome) -> IntegrityResult:
    bad = Verdict.FAIL if outcome is Outcome.INTEGRITY_FLAGGED else Verdict.PASS
    checks = tuple(
        CheckResult(
            name=name,
            verdict=verdict,
            numbers={"worst_ttft_s": 0.0721, "below_hard": 0.0},
            sample_size=24,
            threshold="ttft of each request at least its hard floor",
            reason=f"what {name} found",
        )
        for name, verdict in (("ttft-floor", Verdict.PASS), ("margins", bad), ("ttft-slope", Verdict.NOT_APPLICABLE))
    )
    return IntegrityResult(checks=checks, verdict=bad)


def _evaluations(record: Result, raw: float, budget_s: float, draw: random.Random) -> tuple[Evaluation, ...]:
    """A climb to what was submitted, with a failure and a quick one."""
    metric, base = record.metric.name, record.metric.baseline or 1.0
    found = []
    for number in range(6):
        speedup = raw * (0.35 + 0.14 * number) * draw.uniform(0.9, 1.1)
        value = base / speedup if metric.lower_is_better else base * speedup
        failed = number == 2
        found.append(
            Evaluation(
                id=number + 1,
                at_s=budget_s * (0.05 + 0.14 * number),
                seconds=40.0,
                quick=number == 0,
                submission_sha256=f"{number:064x}",
                ok=not failed,
                error=f"the server did not come up: {HOSTILE} {SECRET}" if failed else None,
                metric=metric,
                value=None if failed else value,
                accuracy=None if failed else 0.78,
                quality_passed=None if failed else True,
                valid=None if failed else True,
            )
        )
    return tuple(found)


def _samples(folder: Path, raw: float, requests: int, draw: random.Random) -> Measured:
    measured = []
    chunks = []
    for number in range(requests):
        ttft, tpot = 0.8 / raw * draw.uniform(0.7, 1.6), 0.04 / raw * draw.uniform(0.9, 1.2)
        one = request_sample(number, ttft_s=ttft, tpot_s=tpot, tokens=32)
        measured.append(one.model_copy(update={"closed_s": one.end_s}))
        chunks += [
            ChunkSample(one.id, i, ttft + i * tpot * draw.uniform(0.98, 1.02), 20, "word ", False) for i in range(32)
        ]
    samples = Samples(measured, chunks)
    write_samples(folder / "measure" / "launch-0", samples)
    _telemetry(folder / "measure" / "launch-0", draw)
    found = Measured(
        measurement_version=1,
        launches=(Launch(ready_s=12.5, limits={"processes": "cgroup v2"}),),
        measurements=(measurement(by_profile(samples), 0.98),),
    )
    _write(folder / "measure" / "measured.json", found.model_dump_json())
    return found


def _telemetry(launch: Path, draw: random.Random) -> None:
    rows = []
    for look in range(60):
        gpu = {
            "gpu_percent": 80 + draw.randint(-9, 9),
            "memory_bytes": 60 << 30,
            "power_w": 500 + draw.uniform(-50, 50),
        }
        row = {"at_s": 2.0 * look, "cpu_percent": 40 + draw.uniform(-9, 9), "memory_bytes": 9 << 30, "gpus": [gpu]}
        rows.append(canonical_json(row).decode())
    _write(launch / "telemetry.jsonl", "\n".join(rows) + "\n")
    text = '# TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total{{m="x"}} {}\nvllm:idle 0\n'
    _write(launch / "metrics-before.prom", text.format(160.0))
    _write(launch / "metrics-after.prom", text.format(9160.0) + f'vllm:odd{{k="{HOSTILE[:30]}"}} 1\n')


def _session(folder: Path, agent: str, budget_s: float, evaluations: tuple[Evaluation, ...]) -> None:
    rows = [e.model_dump(mode="json") for e in evaluations]
    session = {
        "agent": agent,
        "ended": "finished",
        "exit_code": 0,
        "seconds": budget_s * 0.9,
        "survivors": [],
        "evaluations": rows,
    }
    _write(folder / "solve" / "session.json", canonical_json(session).decode())
    at, lines = 1_795_000_000.0, []
    for phase, seconds in (
        ("prepare", 2.0),
        ("solve", budget_s * 0.9),
        ("freeze", 1.0),
        ("measure", 240.0),
        ("quality", 60.0),
    ):
        lines.append(canonical_json({"at": at, "pid": 1, "event": "phase_started", "phase": phase}))
        at += seconds
        lines.append(
            canonical_json({"at": at, "pid": 1, "event": "phase_finished", "phase": phase, "seconds": seconds})
        )
    _write(folder / "events.jsonl", b"\n".join(lines).decode() + "\n")


FLAGS = (
    "--max-num-seqs 256",
    "--enable-chunked-prefill",
    "--quantization fp8",
    "--kv-cache-dtype fp8",
    "--block-size 32",
)


def _launchers(agent: str, draw: random.Random) -> list[str]:
    """Commands that start a server, in turn; the last is submitted. Some repeat, some change two flags."""
    if agent.startswith("engine:"):
        return ["exec vllm serve $MODEL_PATH --host $HOST --port $PORT"]
    base = (
        "python -m sglang.launch_server --model-path $MODEL_PATH" if draw.random() < 0.15 else "vllm serve $MODEL_PATH"
    )
    found, flags = [], list[str]()
    for _ in range(draw.choice((1, 2, 2, 3, 5))):
        found.append(" ".join([f"exec {base} --host $HOST --port $PORT", *flags]))
        flags = sorted({*flags, *draw.sample(FLAGS, draw.choice((0, 1, 1, 2)))})
    return found


def _submission(folder: Path, agent: str, command: str) -> None:
    launcher = f"#!/bin/sh\n# {agent}\nexport API_KEY={SECRET}\n{command}\n"
    _write(folder / "freeze" / "submission" / "start_server.sh", launcher)
    files = [{"path": "start_server.sh", "sha256": "0" * 64, "bytes": len(launcher), "executable": True}]
    manifest = {"files": files, "left_out": [], "sha256": "0" * 64, "bytes": len(launcher)}
    _write(folder / "freeze" / "manifest.json", canonical_json(manifest).decode())
    lines = launcher.splitlines()
    patch = [
        f"--- start/start_server.sh\n+++ submission/start_server.sh\n@@ -0,0 +1,{len(lines)} @@",
        *(f"+{line}" for line in lines),
    ]
    _write(folder / "freeze" / "diff.patch", "\n".join(patch) + "\n")


def _transcript(path: Path, size: int, launchers: list[str], draw: random.Random) -> None:
    """Steps until the file has `size` bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for block in _blocks(launchers, draw):
            file.write(block)
            if file.tell() >= size:
                break


IDEAS = ("quantization to fp8", "chunked prefill", "speculative decoding with n-grams", "prefix caching")


def _blocks(launchers: list[str], draw: random.Random) -> Iterator[bytes]:
    first = [
        Step(at_s=0.0, kind=StepKind.PROMPT, text="Make this server fast. You have 30 minutes."),
        Step(at_s=4.0, kind=StepKind.MESSAGE, text=f"I will measure the default first. {HOSTILE}"),
        Step(
            at_s=6.0,
            kind=StepKind.TOOL,
            tool="Bash",
            call_id="1",
            input={"command": "./evaluate --quick", "timeout": 60},
        ),
        Step(
            at_s=60.0,
            kind=StepKind.RESULT,
            call_id="1",
            ok=True,
            text=f"tpot 12.3 ms; key {SECRET}",
            usage=Usage(input_tokens=900, output_tokens=40, requests=1),
        ),
        Step(at_s=61.0, kind=StepKind.RESULT, call_id="1", ok=False, text="Traceback: out of memory"),
    ]
    ideas = ", ".join(idea for idea in IDEAS if draw.random() < 0.8) or "nothing yet"
    first.append(Step(at_s=62.0, kind=StepKind.MESSAGE, text=f"Worth a try here: {ideas}."))
    for number, text in enumerate(launchers):
        at = 70.0 + 90 * number
        written = {"file_path": "/workspace/submission/start_server.sh", "content": text}
        first.append(Step(at_s=at, kind=StepKind.TOOL, tool="Write", call_id=f"w{number}", input=written))
        shell = {"command": "bash submission/start_server.sh &"}
        first.append(Step(at_s=at + 4, kind=StepKind.TOOL, tool="Bash", call_id=f"b{number}", input=shell))
    yield from (canonical_json(step) + b"\n" for step in first)
    log = canonical_json(Step(at_s=90.0, kind=StepKind.RESULT, text="INFO engine step " * 400)) + b"\n"
    while True:
        yield log


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
