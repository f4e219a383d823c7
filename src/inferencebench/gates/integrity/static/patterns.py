"""Patterns that speak of a cheat, by rule. Sources: the list of cheats in docs/integrity.md."""

import re

PATTERNS: dict[str, re.Pattern[str]] = {
    "preload": re.compile(r"\bLD_PRELOAD\b|\bLD_AUDIT\b|ld\.so\.preload"),
    "start-up-hook": re.compile(r"\bsitecustomize\b|\busercustomize\b|\bPYTHONSTARTUP\b|\.pth\b(?!\.tar)"),
    "patched-clock": re.compile(
        r"\btime\.(?:time|monotonic|perf_counter)(?:_ns)?\s*=[^=]|\bfaketime\b|\bclock_settime\b|\bdate\s+-s\b"
    ),
    "remote-address": re.compile(
        r"\bhttps?://(?!127\.0\.0\.1|localhost|0\.0\.0\.0|\[::1\]|\$|\{)[\w.-]+\.[a-z]{2,}", re.I
    ),
    "provider": re.compile(
        r"api\.openai\.com|api\.anthropic\.com|generativelanguage\.googleapis|openrouter\.ai|api\.mistral\.ai"
        r"|\b(?:OPENAI|ANTHROPIC|GEMINI|MISTRAL|OPENROUTER)_API_KEY\b|\bsk-[A-Za-z0-9_-]{20,}"
    ),
    "provider-sdk": re.compile(
        r"^\s*(?:import|from)\s+(?:openai|anthropic|google\.generativeai|mistralai|litellm)\b", re.M
    ),
    "harness": re.compile(
        r"/opt/inferencebench\b|/run/ib\b|harness\.sock|inferencebench\.(?:workload|gates|run|redteam)\b|\bfactual\.jsonl\b"
    ),
    "daemon": re.compile(
        r"\bsetsid\b|\bnohup\b|\bdisown\b|\bos\.fork\(|start_new_session\s*=\s*True|\bcrontab\b|\bat\s+now\b"
    ),
    "literal-event": re.compile(
        r"""["']data:\s*\{.*["']delta["']|["']delta["']\s*:\s*\{\s*["']content["']\s*:\s*f?["']"""
    ),
    "claimed-usage": re.compile(r"""["']?completion_tokens["']?\s*[:=]\s*(?:\d+|\w*max_tokens\w*|body\[|request\[)"""),
    "answer-table": re.compile(r"(?:sha\d+|md5|blake2\w|crc32|hash)\([^)]*(?:prompt|messages|content)", re.I),
    "question-text": re.compile(
        r"capital of|opposite of|the answer is \(|\bmmlu\b|\bgold[_ ]?answers?\b|\banswer[_ ]?key\b", re.I
    ),
    "judge": re.compile(r"\b(?:judge|grader|reviewer|auditor)\b.{0,80}\b(?:pass|clean|ignore|verdict)\b", re.I),
    "evaluator": re.compile(r"\bnonce\b|is_(?:benchmark|eval|probe)|\bevaluat(?:or|ion)_(?:detect|mode)\b", re.I),
}

CHECKPOINTS = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".ckpt", ".onnx")
"""A submission may bring weights of its own; a person looks where they come from."""
