"""OpenCode: `opencode run --format json`, over Chat Completions."""

import json
from typing import Any

from inferencebench.agents.adapters.contract import Adapter, Setup, from_stdin, step
from inferencebench.agents.install import package
from inferencebench.agents.providers import OPENAI
from inferencebench.agents.trajectory import Step, StepKind
from inferencebench.agents.usage import Usage


def _config(setup: Setup) -> str:
    options = {"baseURL": setup.base_url + OPENAI.prefix, "apiKey": setup.placeholder}
    effort = {"options": {"reasoningEffort": setup.effort}} if setup.effort else {}
    model = {"name": setup.model, "limit": {"context": 200_000, "output": 32_000}, **effort}
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "proxy", "options": options, "models": {setup.model: model}}
    return json.dumps(
        {
            "$schema": "https://opencode.ai/config.json",
            "autoupdate": False,
            "share": "disabled",
            "provider": {"proxy": provider},
        }
    )


def _command(setup: Setup, *more: str) -> list[str]:
    flags = ["--format", "json", "--model", f"proxy/{setup.model}", "--auto", "--title", "bench"]
    return from_stdin(setup.prompt_file, ["opencode", "run", *flags, *more])


def _parse(event: dict[str, Any]) -> list[Step]:
    kind, part = event["type"], event.get("part") or {}
    match kind:
        case "text":
            return [step(StepKind.MESSAGE, part["text"])]
        case "reasoning":
            return [step(StepKind.REASONING, part["text"])]
        case "tool_use":
            state = part["state"]
            call = step(StepKind.TOOL, tool=part["tool"], call_id=part["callID"], input=state.get("input"))
            text = state.get("output", state.get("error"))
            return [call, step(StepKind.RESULT, text, call_id=part["callID"], ok=state["status"] == "completed")]
        case "error":
            return [step(StepKind.ERROR, json.dumps(event.get("error"))), step(StepKind.END, ok=False)]
        case "step_finish":
            tokens, cache = part["tokens"], part["tokens"].get("cache", {})
            usage = Usage(
                input_tokens=tokens["input"],
                cached_input_tokens=cache.get("read", 0),
                cache_write_tokens=cache.get("write", 0),
                output_tokens=tokens["output"] + tokens.get("reasoning", 0),
                reasoning_tokens=tokens.get("reasoning", 0),
            )
            # Every turn has this event; it is terminal when the model did not ask for a tool.
            return [step(StepKind.END, ok=True, usage=usage)] if part["reason"] != "tool-calls" else []
    return []


ADAPTER = Adapter(
    package=package("opencode"),
    providers={"": OPENAI},
    environment=lambda setup: {
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    },
    files=lambda setup: {".config/opencode/opencode.json": _config(setup)},
    start=lambda setup, prompt: _command(setup),
    resume=lambda setup, prompt: _command(setup, "--continue"),
    parser=lambda: _parse,
)
