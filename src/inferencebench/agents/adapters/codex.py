"""Codex CLI: `codex exec --json`, with a provider of our own in its configuration."""

import json
from typing import Any

from inferencebench.agents.adapters.contract import Adapter, Setup, step
from inferencebench.agents.install import package
from inferencebench.agents.providers import OPENAI
from inferencebench.agents.trajectory import Step, StepKind

FLAGS = ["--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]


def _config(setup: Setup) -> str:
    effort = f"model_reasoning_effort = {json.dumps(setup.effort)}\n" if setup.effort else ""
    return (
        f"model = {json.dumps(setup.model)}\n"
        f'model_provider = "proxy"\n{effort}'
        'approval_policy = "never"\nsandbox_mode = "danger-full-access"\ncheck_for_update_on_startup = false\n'
        "[analytics]\nenabled = false\n"
        '[model_providers.proxy]\nname = "proxy"\nwire_api = "responses"\nenv_key = "OPENAI_API_KEY"\n'
        f"base_url = {json.dumps(setup.base_url + OPENAI.prefix)}\nstream_idle_timeout_ms = 3600000\n"
    )


def _parse(event: dict[str, Any]) -> list[Step]:
    kind = event["type"]
    if kind == "turn.completed":
        return [step(StepKind.END, ok=True)]
    if kind == "turn.failed":
        return [step(StepKind.END, event["error"].get("message"), ok=False)]
    if kind == "error":
        return [step(StepKind.ERROR, event.get("message"))]
    if kind not in ("item.started", "item.completed"):
        return []
    item = event["item"]
    done = kind == "item.completed"
    match item["type"]:
        case "agent_message" if done:
            return [step(StepKind.MESSAGE, item["text"])]
        case "reasoning" if done:
            return [step(StepKind.REASONING, item["text"])]
        case "command_execution" if not done:
            return [step(StepKind.TOOL, tool="shell", call_id=item["id"], input={"command": item["command"]})]
        case "command_execution":
            return [step(StepKind.RESULT, item["aggregated_output"], call_id=item["id"], ok=item["exit_code"] == 0)]
        case "error" if done:
            return [step(StepKind.ERROR, item.get("message"))]
        case other if done and other not in ("agent_message", "reasoning", "error"):
            return [step(StepKind.TOOL, json.dumps(item), tool=other, call_id=item["id"])]
    return []


ADAPTER = Adapter(
    package=package("codex"),
    providers={"": OPENAI},
    environment=lambda setup: {"OPENAI_API_KEY": setup.placeholder},
    files=lambda setup: {".codex/config.toml": _config(setup)},
    start=lambda setup, prompt: ["codex", "exec", *FLAGS, "--", prompt],
    resume=lambda setup, prompt: ["codex", "exec", "resume", "--last", *FLAGS, "--", prompt],
    parser=lambda: _parse,
)
