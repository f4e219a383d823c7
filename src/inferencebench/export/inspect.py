"""Finished runs as Inspect logs (`.eval`), which `inspect view` opens: a log per suite, agent and condition, a sample
per run. Built as the log schema's JSON; the package inspect_ai checks and writes it."""

import importlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import ValidationError

from inferencebench import __version__
from inferencebench.agents.trajectory import Step, StepKind
from inferencebench.agents.usage import Usage
from inferencebench.analysis.leaderboard import board
from inferencebench.analysis.runs import Run, run_id
from inferencebench.errors import MissingError
from inferencebench.export.atif import clean
from inferencebench.files import open_regular, sha256_bytes
from inferencebench.run.record import Evaluation, Outcome, Result
from inferencebench.run.spec import slug
from inferencebench.site import reading

REMEDY = "pip install 'inspect_ai>=0.3.285'"
EVENTS_BYTES = 1 << 20
LINE_BYTES = 4 << 20
CHARACTERS = 16_000
"""Most characters of one message: its beginning and its end."""


def write_logs(found: Sequence[tuple[Path, Result]], out: Path) -> list[Path]:
    """Write `OUT/<suite>_<agent>_<condition>.eval` for every line of the board; transcripts are redacted.

    Raises MissingError without inspect_ai."""
    log = inspect_log()
    lines: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for directory, result in found:
        lines[result.suite, result.agent, result.condition].append(Run(directory, result))
    paths = []
    out.mkdir(parents=True, exist_ok=True)
    for (suite, agent, condition), runs in sorted(lines.items()):
        path = out / f"{suite}_{slug(agent)}_{slug(condition)}.eval"
        log.write_eval_log(log.EvalLog.model_validate(document(runs)), str(path))
        paths.append(path)
    return paths


def inspect_log() -> Any:
    """The module `inspect_ai.log`. Raises MissingError where the package is not installed."""
    try:
        return importlib.import_module("inspect_ai.log")
    except ImportError as error:
        raise MissingError(f"export inspect needs the package inspect_ai ({error}): {REMEDY}") from None


def document(runs: Sequence[Run]) -> dict[str, Any]:
    """One log of runs of one suite, agent and condition."""
    first = runs[0].result
    samples = [sample(run) for run in runs]
    created = min(s["started_at"] for s in samples)
    name, model = _agent_and_model(first.agent)
    used = [usage for s in samples for usage in s["model_usage"].values()]
    identity = sha256_bytes("\n".join(s["id"] for s in samples).encode())[:22]
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": identity,
            "run_id": identity,
            "task_id": identity,
            "created": created,
            "task": f"inferencebench/{first.suite}",
            "task_version": __version__,
            "solver": name,
            "model": model,
            "dataset": {"name": first.suite, "samples": len(samples), "sample_ids": [s["id"] for s in samples]},
            "config": {"epochs": 1},
            "packages": {"inferencebench": __version__},
            "metadata": {"condition": first.condition, "agent": first.agent},
        },
        "plan": {"name": "plan", "steps": [{"solver": name, "params": {"condition": first.condition}}]},
        "results": _results(runs),
        "stats": {
            "started_at": created,
            "completed_at": max(s["completed_at"] for s in samples),
            "model_usage": {model: {key: sum(u[key] for u in used) for key in used[0]}} if used else {},
        },
        "samples": samples,
    }


def _agent_and_model(agent: str) -> tuple[str, str]:
    """`codex:gpt-5.4?effort=high` → `codex`, `codex/gpt-5.4`; the log's schema wants a model of every row."""
    kind, _, rest = agent.partition(":")
    return kind, f"{kind}/{rest.partition('?')[0] or 'none'}"


def _results(runs: Sequence[Run]) -> dict[str, Any]:
    """Means over the samples, and the aggregate of the board as its own score."""
    scored = [run.result for run in runs if run.result.outcome.scored]
    values = {
        "speedup": [r.speedup for r in scored],
        "raw_speedup": [r.raw_speedup for r in scored if r.raw_speedup is not None],
        "passed": [float(r.outcome is Outcome.PASSED) for r in scored],
        "accuracy": [r.quality.accuracy for r in scored if r.quality is not None],
    }
    scores = [
        _score(name, {"mean": fmean(found)}, len(found), len(runs) - len(found))
        for name, found in values.items()
        if found
    ]
    rows = board([run.result for run in runs if run.result.repeat == 0]).agents
    if rows and rows[0].aggregate is not None:
        metrics = {"aggregate": rows[0].aggregate}
        if rows[0].aggregate_sem is not None:
            metrics["stderr"] = rows[0].aggregate_sem
        scores.insert(0, _score("aggregate", metrics, len(scored), len(runs) - len(scored)))
    return {"total_samples": len(runs), "completed_samples": len(runs), "scores": scores}


def _score(name: str, metrics: dict[str, float], n: int, unscored: int) -> dict[str, Any]:
    return {
        "name": name,
        "scorer": name,
        "scored_samples": n,
        "unscored_samples": unscored,
        "metrics": {metric: {"name": metric, "value": value} for metric, value in metrics.items()},
    }


def sample(run: Run) -> dict[str, Any]:
    """One run: its session as messages, its evaluations as events, its scores with the reason."""
    result = run.result
    steps = list(_steps(run.directory / "solve" / "trajectory.jsonl"))
    started = _started(run.directory)
    used = sum((s.usage for s in steps if s.usage), Usage())
    _, model = _agent_and_model(result.agent)
    prompt = next((s.text for s in steps if s.kind is StepKind.PROMPT), "")
    messages = list(_messages(steps))
    made: dict[str, Any] = clean(
        {
            "id": sample_id(result),
            "epoch": 1,
            "input": prompt or f"{result.suite}: {result.scenario}, seeds {result.seed_pair}",
            "target": "a faster server of the same model",
            "messages": messages,
            "output": {"model": model, "choices": [_last(messages, result)]},
            "scores": _sample_scores(result),
            "metadata": _metadata(result),
            "model_usage": {model: _usage(used)} if used.requests or used.output_tokens else {},
            "events": list(_events(steps, run.evaluations, started)),
            "started_at": _time(started),
            "completed_at": _time(started + result.cost.total_s),
            "total_time": result.cost.total_s,
            "working_time": result.cost.solve_s,
            "uuid": sha256_bytes(f"{run_id(result)} {result.provenance.salt_sha256}".encode())[:22],
        }
    )
    return made


def _steps(path: Path) -> Iterator[Step]:
    """The readable steps of a trajectory, line by line, with long texts cut in their middle."""
    try:
        file = open_regular(path)
    except OSError:
        return
    with file:
        while line := file.readline(LINE_BYTES):
            try:
                step = Step.model_validate_json(line)
            except (ValidationError, RecursionError):
                continue
            yield step.model_copy(update={"text": _cut(step.text)})


def _cut(text: str) -> str:
    if len(text) <= CHARACTERS:
        return text
    half = CHARACTERS // 2
    return f"{text[:half]}\n[{len(text) - CHARACTERS} characters left out]\n{text[-half:]}"


def _messages(steps: Sequence[Step]) -> Iterator[dict[str, Any]]:
    """Messages in order: calls of one moment stand with the text before them, results with their call's id."""
    names: dict[str, str] = {}
    for number, step in enumerate(steps):
        identity = f"m{number}"
        match step.kind:
            case StepKind.PROMPT:
                yield {"id": identity, "role": "user", "content": step.text}
            case StepKind.MESSAGE:
                yield {"id": identity, "role": "assistant", "content": step.text, "source": "generate"}
            case StepKind.REASONING:
                content = [{"type": "reasoning", "reasoning": step.text}]
                yield {"id": identity, "role": "assistant", "content": content, "source": "generate"}
            case StepKind.TOOL:
                call, tool = step.call_id or f"call-{number}", step.tool or "unknown"
                names[call] = tool
                calls = [{"id": call, "function": tool, "arguments": step.input or {}, "type": "function"}]
                yield {"id": identity, "role": "assistant", "content": step.text, "tool_calls": calls}
            case StepKind.RESULT:
                message: dict[str, Any] = {
                    "id": identity,
                    "role": "tool",
                    "content": step.text,
                    "tool_call_id": step.call_id,
                }
                if step.call_id in names:
                    message["function"] = names[step.call_id]
                if step.ok is False:
                    message["error"] = {"type": "unknown", "message": step.text[:200] or "failed"}
                yield message
            case _:
                yield {"id": identity, "role": "system", "content": f"{step.kind.value}: {step.text}"}


def _last(messages: Sequence[dict[str, Any]], result: Result) -> dict[str, Any]:
    said = next(
        (m for m in reversed(messages) if m["role"] == "assistant" and isinstance(m["content"], str) and m["content"]),
        None,
    )
    message = said or {"role": "assistant", "content": f"{result.outcome.value}: {result.reason}"}
    return {"message": {"role": "assistant", "content": message["content"]}, "stop_reason": "stop"}


def _sample_scores(result: Result) -> dict[str, Any]:
    values = {
        "speedup": result.speedup,
        "raw_speedup": result.raw_speedup,
        "passed": float(result.outcome is Outcome.PASSED),
        "accuracy": result.quality.accuracy if result.quality else None,
    }
    return {
        name: {"value": value, "explanation": f"{result.outcome.value}: {result.reason}"}
        for name, value in values.items()
        if value is not None
    }


def sample_id(result: Result) -> str:
    """`decode 21-1337`, with its repeat where it is one."""
    return f"{result.scenario} {result.seed_pair}" + (f" r{result.repeat}" if result.repeat else "")


def _metadata(result: Result) -> dict[str, Any]:
    return {
        "run": run_id(result),
        "scenario": result.scenario,
        "seed_pair": str(result.seed_pair),
        "repeat": result.repeat,
        "outcome": result.outcome.value,
        "ranked": result.ranked,
        "metric": result.metric.model_dump(mode="json"),
        "best_seen": result.best_seen.model_dump(mode="json") if result.best_seen else None,
        "cost": result.cost.model_dump(mode="json"),
        "provenance": result.provenance.model_dump(mode="json"),
        "integrity": {c.name: c.verdict.value for c in result.integrity.checks} if result.integrity else {},
    }


def _events(steps: Sequence[Step], evaluations: Sequence[Evaluation], started: float) -> Iterator[dict[str, Any]]:
    """The session on its clock: what the agent said, each call with its result, and the harness's evaluations."""
    results = {s.call_id: s for s in steps if s.kind is StepKind.RESULT and s.call_id}
    called = {s.call_id for s in steps if s.kind is StepKind.TOOL}
    pending = sorted(evaluations, key=lambda one: one.at_s)
    at = 0.0
    for number, step in enumerate(steps):
        at = at if step.at_s is None else step.at_s
        while pending and pending[0].at_s <= at:
            yield _evaluation(pending.pop(0), started)
        if step.kind is StepKind.TOOL:
            ended = results.get(step.call_id or "")
            yield {
                "event": "tool",
                "id": step.call_id or f"call-{number}",
                "function": step.tool or "unknown",
                "arguments": step.input or {},
                "result": ended.text if ended else "",
                "failed": ended.ok is False if ended else None,
                **_moment(started, at),
            }
        elif step.kind is not StepKind.RESULT or step.call_id not in called:
            yield {"event": "info", "source": step.kind.value, "data": step.text, **_moment(started, at)}
    for one in pending:
        yield _evaluation(one, started)


def _evaluation(one: Evaluation, started: float) -> dict[str, Any]:
    data = one.model_dump(mode="json", exclude_none=True)
    return {"event": "info", "source": "evaluation by the harness", "data": data, **_moment(started, one.at_s)}


def _moment(started: float, at_s: float) -> dict[str, Any]:
    return {"timestamp": _time(started + at_s), "working_start": at_s}


def _usage(used: Usage) -> dict[str, int]:
    return {
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "total_tokens": used.input_tokens + used.cached_input_tokens + used.cache_write_tokens + used.output_tokens,
        "input_tokens_cache_read": used.cached_input_tokens,
        "input_tokens_cache_write": used.cache_write_tokens,
        "reasoning_tokens": used.reasoning_tokens,
    }


def _started(directory: Path) -> float:
    """Epoch seconds of the run's first event; of its result's file where there is no log."""
    try:
        rows = reading.json_lines(reading.head(directory / "events.jsonl", EVENTS_BYTES).data)
    except reading.NOT_READ:
        rows = []
    times = [float(row["at"]) for row in rows if isinstance(row.get("at"), int | float)]
    return min(times, default=(directory / "result.json").stat().st_mtime)


def _time(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat()
