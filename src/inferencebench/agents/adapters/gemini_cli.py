"""Gemini CLI: `gemini --yolo --output-format stream-json`."""

import json
from typing import Any

from inferencebench.agents.adapters.contract import Adapter, Setup, step
from inferencebench.agents.install import package
from inferencebench.agents.providers import GEMINI
from inferencebench.agents.trajectory import Step, StepKind

SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "telemetry": {"enabled": False},
    "privacy": {"usageStatisticsEnabled": False},
    "general": {"disableAutoUpdate": True, "disableUpdateNag": True, "enableAutoUpdate": False},
    "tools": {"sandbox": False},
}


def _command(setup: Setup, prompt: str, *more: str) -> list[str]:
    return ["gemini", "--yolo", "--output-format", "stream-json", "-m", setup.model, *more, "-p", prompt]


def _parse(event: dict[str, Any]) -> list[Step]:
    match event["type"]:
        case "message" if event["role"] == "assistant":
            return [step(StepKind.MESSAGE, event["content"])]
        case "tool_use":
            return [step(StepKind.TOOL, tool=event["tool_name"], call_id=event["tool_id"], input=event["parameters"])]
        case "tool_result":
            text = event.get("output") or event.get("error")
            return [step(StepKind.RESULT, text, call_id=event["tool_id"], ok=event["status"] == "success")]
        case "error":
            return [step(StepKind.ERROR, event.get("message"))]
        case "result":
            return [step(StepKind.END, event.get("error"), ok=event["status"] == "success")]
    return []


ADAPTER = Adapter(
    package=package("gemini-cli"),
    providers={"": GEMINI},
    environment=lambda setup: {
        "GEMINI_API_KEY": setup.placeholder,
        "GOOGLE_GEMINI_BASE_URL": setup.base_url,
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "GEMINI_CLI_NO_RELAUNCH": "true",
    },
    files=lambda setup: {".gemini/settings.json": json.dumps(SETTINGS)},
    start=lambda setup, prompt: _command(setup, prompt),
    resume=lambda setup, prompt: _command(setup, prompt, "--resume", "latest"),
    parser=lambda: _parse,
)
