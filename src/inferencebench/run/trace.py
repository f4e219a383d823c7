"""A run's session as a timeline: the agent's steps and the harness's evaluations, and the same as an ATIF document."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from inferencebench import __version__
from inferencebench.agents import install
from inferencebench.agents.install import Installed
from inferencebench.agents.meter import SessionUsage
from inferencebench.agents.trajectory import Step, StepKind
from inferencebench.agents.usage import ModelUsage, Usage
from inferencebench.errors import UserError
from inferencebench.files import read_jsonl, sha256_json
from inferencebench.run.record import Evaluation, Session
from inferencebench.run.spec import RunSpec
from inferencebench.serve.text import printable
from inferencebench.suites.model import Record
from inferencebench.suites.unreadable import unreadable

AnyRecord = TypeVar("AnyRecord", bound=Record)
ATIF_VERSION = "ATIF-v1.8"
SOURCES = {StepKind.PROMPT: "user", StepKind.ERROR: "system", StepKind.END: "system"}
COMMAND_KEYS = ("command", "cmd", "file_path", "path", "pattern", "query")
"""Arguments that say what a call does, whichever CLI made it."""


class Trace:
    """What is stored of a session. Everything in it is untrusted text."""

    def __init__(self, directory: Path) -> None:
        """Raises UserError when `directory` is no run whose session has ended."""
        try:
            self.spec = RunSpec.model_validate_json((directory / "spec.json").read_bytes())
            self.session = Session.model_validate_json((directory / "solve" / "session.json").read_bytes())
        except (OSError, ValidationError) as error:
            raise UserError(f"{directory}: not a run directory with a finished session ({unreadable(error)})") from None
        self.steps, self.damaged = _steps(directory / "solve" / "trajectory.jsonl")
        self._metered = _stored(directory / "solve" / "session" / "usage.json", SessionUsage)
        self._installed = _stored(directory / "solve" / "session" / install.RECORD, Installed)

    def rows(self) -> list[tuple[float | None, str, str]]:
        """Time in seconds, what it is, and one printable line; evaluations stand where their time puts them."""
        pending = sorted(self.session.evaluations, key=lambda e: e.at_s)
        found: list[tuple[float | None, str, str]] = []
        for step in self.steps:
            while step.at_s is not None and pending and pending[0].at_s <= step.at_s:
                found.append(_evaluation(pending.pop(0)))
            found.append((step.at_s, step.tool or step.kind.value, printable(_said(step), 400)))
        found += [_evaluation(evaluation) for evaluation in pending]
        if self._metered is not None:
            found += [(None, "used", _used(row)) for row in self._metered.models]
        return [*found, (self.session.seconds, "end", self.session.ended)]

    def atif(self) -> dict[str, Any]:
        """The session as an ATIF 1.8 document. Results stand with their calls; a result without one is a step of the
        system. Token counts are ATIF's: prompt tokens include cached ones."""
        steps: list[dict[str, Any]] = []
        calls: dict[str, dict[str, Any]] = {}
        total = Usage()
        for step in self.steps:
            total += step.usage or Usage()
            if step.kind is StepKind.RESULT and step.call_id in calls:
                result = {"source_call_id": step.call_id, "content": step.text}
                calls[step.call_id].setdefault("observation", {"results": []})["results"].append(result)
                continue
            made = _atif_step(len(steps) + 1, step)
            if step.kind is StepKind.TOOL:
                calls[made["tool_calls"][0]["tool_call_id"]] = made
            steps.append(made)
        if not steps:
            steps.append({"step_id": 1, "source": "system", "message": "This agent has no trajectory."})
        name, _, model = self.spec.agent.partition(":")
        version = self._installed.package.version if self._installed else __version__
        agent: dict[str, Any] = {"name": name, "version": version}
        if self._metered or total.requests or total.prompt_tokens:
            agent["model_name"] = model.partition("?")[0]
        evaluations = [e.model_dump(mode="json") for e in self.session.evaluations]
        return {
            "schema_version": ATIF_VERSION,
            "session_id": sha256_json(self.spec),
            "agent": agent,
            "steps": steps,
            "final_metrics": {**self._totals(total), "total_steps": len(steps)},
            "extra": {"condition": self.spec.condition.name, "evaluations": evaluations},
        }

    def _totals(self, told: Usage) -> dict[str, Any]:
        """What the proxy metered; without one, the sum of what the steps tell."""
        if self._metered is None:
            return _tokens(told, "total_")
        rows = self._metered.models
        known = [row.usd for row in rows if row.usd is not None]
        return {
            **_tokens(sum((row.usage for row in rows), Usage()), "total_"),
            "total_cost_usd": round(sum(known), 9) if len(known) == len(rows) else None,
            "extra": {"metered": "at the harness's proxy: all calls, also those that no step tells of"},
        }


def _stored(path: Path, model: type[AnyRecord]) -> AnyRecord | None:
    """A record of the session that not every agent has."""
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _steps(path: Path) -> tuple[list[Step], int]:
    """The readable steps and the number of the others."""
    rows = read_jsonl(path) if path.is_file() else []
    steps: list[Step] = []
    for row in rows:
        try:
            steps.append(Step.model_validate(row))
        except ValidationError:
            continue
    return steps, len(rows) - len(steps)


def _atif_step(number: int, step: Step) -> dict[str, Any]:
    if step.kind is StepKind.RESULT:
        return {"step_id": number, "source": "system", "message": step.text}
    made: dict[str, Any] = {"step_id": number, "source": SOURCES.get(step.kind, "agent"), "message": step.text}
    if step.kind is StepKind.REASONING:
        made |= {"message": "", "reasoning_content": step.text}
    if step.kind is StepKind.TOOL:
        call_id = step.call_id or f"call-{number}"
        call = {"tool_call_id": call_id, "function_name": step.tool or "unknown", "arguments": step.input or {}}
        made["tool_calls"] = [call]
    if step.usage and made["source"] == "agent":
        made["metrics"] = _tokens(step.usage, "")
    extra = {"at_s": step.at_s, "invocation": step.invocation, "cut_characters": step.cut_characters}
    return {**made, "extra": extra}


def _tokens(usage: Usage, prefix: str) -> dict[str, int]:
    return {
        f"{prefix}prompt_tokens": usage.prompt_tokens,
        f"{prefix}completion_tokens": usage.output_tokens,
        f"{prefix}cached_tokens": usage.cached_input_tokens,
    }


def _used(row: ModelUsage) -> str:
    u = row.usage
    read = f"{u.input_tokens} fresh, {u.cached_input_tokens} cached, {u.cache_write_tokens} written"
    usd = "price not known" if row.usd is None else f"${row.usd:.4f} at list prices"
    return printable(f"{row.model}: {u.requests} calls, tokens: {read}, {u.output_tokens} out; {usd}")


def _said(step: Step) -> str:
    if step.kind is StepKind.TOOL:
        given = step.input or {}
        return next((str(given[key]) for key in COMMAND_KEYS if key in given), str(given))
    failed = "failed: " if step.ok is False else ""
    return failed + " ".join(step.text[:2000].split())


def _evaluation(e: Evaluation) -> tuple[float | None, str, str]:
    kind = "quick" if e.quick else "full"
    if not e.ok:
        return e.at_s, "evaluation", printable(f"{e.id} ({kind}): failed: {e.error or 'no reason'}")
    gate = {True: "passes the gate", False: "fails the gate", None: "gate not judged"}[e.quality_passed]
    return e.at_s, "evaluation", f"{e.id} ({kind}): {e.metric.value} = {e.value or 0:.6g}, {gate}"
