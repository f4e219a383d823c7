"""The servers a run started during its session, oldest first, with the settings each had."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from inferencebench.engines.recognition import LAUNCHER_BYTES, Recognised, head, of_submission, recognise
from inferencebench.files import open_regular
from inferencebench.run.record import Evaluation

LINE_BYTES = 1 << 20
"""A longer line of a trajectory is skipped: no tool call of a person's size is as long."""
READ_BYTES = 1 << 18

TECHNIQUES: dict[str, tuple[bytes, ...]] = {
    "quantization": (b"quantiz", b"quantis", b"fp8", b"awq", b"gptq", b"int8", b"int4", b"bitsandbytes"),
    "chunked_prefill": (b"chunked prefill", b"chunked-prefill", b"chunked_prefill"),
    "speculation": (b"speculat", b"draft model", b"draft-model", b"draft_model", b"ngram", b"n-gram", b"medusa"),
    "prefix_caching": (
        b"prefix cach",
        b"prefix-cach",
        b"prefix_cach",
        b"radix cache",
        b"radix-cache",
        b"radixattention",
    ),
}
"""What counts as a mention, in any case (paper, Table 15), in what the agent says, thinks or runs. What tools print is
not the agent's: an engine's help names every technique, and its log those of its defaults."""

RESULT = (b'"kind":"result"', b'"kind": "result"')
PROMPT = (b'"kind":"prompt"', b'"kind": "prompt"')
KIND_WITHIN = 400
"""Bytes of a line among which its kind stands. Most of a transcript, tens of megabytes, is output of tools: such a line
is not looked at further."""

RUNS_LAUNCHER = re.compile(
    r"(?:^|[;&|\n]\s*)(?:nohup\s+|setsid\s+|exec\s+|timeout\s+\S+\s+)*(?:(?:bash|sh)\s+)?\S*start_server\.sh\b(?!\s*<<)"
)
WRITES_LAUNCHER = re.compile(r">\s*\S*start_server\.sh\b")
INSTALLS = re.compile(r"\b(?:pip3?|uv pip|conda|apt-get|apt)\s+install\b")

Settings = tuple[tuple[str, str], ...]


class Configuration(NamedTuple):
    """An engine with its non-default settings, sorted."""

    engine: str | None
    settings: Settings


@dataclass(frozen=True)
class Launch:
    """One start of a server during the session."""

    at_s: float | None
    """Seconds since the session began; None where unknown."""
    by: str
    """`evaluation`: the harness launched a snapshot and measured it; `agent`: a command of the agent's own."""
    configuration: Configuration | None
    """None where the launcher was not seen."""
    sha256: str = ""
    """Of the snapshot, for evaluations."""
    ok: bool | None = None
    full: bool = False
    value: float | None = None
    """The primary metric, native."""

    def same(self, other: "Launch") -> bool | None:
        """Whether it launched the same thing; None where that cannot be told."""
        if self.sha256 and other.sha256:
            return self.sha256 == other.sha256
        if self.configuration is None or other.configuration is None:
            return None
        return self.configuration == other.configuration


class Session(NamedTuple):
    """What the trajectory and the evaluations tell."""

    launches: tuple[Launch, ...]
    mentions: frozenset[str]
    installs: int
    """Commands that install packages."""
    stalled: int
    """Times the agent was told to go on and made no tool call."""


def configuration(text: str) -> Configuration:
    """Engine and settings of a launcher's text."""
    return _configuration(recognise(text))


def _configuration(found: Recognised) -> Configuration:
    return Configuration(found.engine, tuple(sorted(found.settings.items())))


def final_configuration(directory: Path) -> Configuration | None:
    """Of the frozen submission; None where there is no launcher. The scripts it calls are read with it."""
    found = of_submission(directory / "freeze" / "submission")
    return None if found is None else _configuration(found)


def session(directory: Path, evaluations: tuple[Evaluation, ...]) -> Session:
    """The session of a run, from its trajectory (where there is one) and its evaluations."""
    mentions: set[str] = set()
    events: list[tuple[float, Launch]] = []
    written: list[tuple[float, Configuration]] = []
    installs = stalled = prompts = 0
    idle = False
    at = 0.0
    for step in _steps(directory / "solve" / "trajectory.jsonl", mentions):
        if step["kind"] == "prompt":
            stalled += idle
            idle = prompts > 0
            prompts += 1
            continue
        idle = False
        when = step.get("at_s")
        at = float(when) if isinstance(when, int | float) else at
        for text, is_launcher in _texts(step.get("input")):
            installs += bool(INSTALLS.search(text))
            if is_launcher or WRITES_LAUNCHER.search(text):
                written.append((at, configuration(text)))
            if not is_launcher and RUNS_LAUNCHER.search(text):
                events.append((at, Launch(at, "agent", written[-1][1] if written else None)))
            elif not is_launcher and not WRITES_LAUNCHER.search(text) and _serves(text):
                events.append((at, Launch(at, "agent", configuration(text))))
    for one in evaluations:
        before = [found for moment, found in written if moment <= one.at_s]
        kept = _kept_launcher(directory, one)
        config = kept or (before[-1] if before else None)
        events.append((one.at_s, Launch(one.at_s, "evaluation", config, one.submission_sha256, one.ok,
                                        not one.quick, one.value)))  # fmt: skip
    events.sort(key=lambda pair: pair[0])
    return Session(tuple(launch for _, launch in events), frozenset(mentions), installs, stalled + idle)


def _kept_launcher(directory: Path, evaluation: Evaluation) -> Configuration | None:
    """Where the evaluation's folder keeps the launcher it measured."""
    path = directory / "solve" / "evaluations" / f"{evaluation.id:04d}" / "start_server.sh"
    text = head(path)
    return None if text is None else configuration(text)


SERVES = re.compile(r"\bvllm\s+serve\b|\bapi_server\b|\blaunch_server\b|\btext-generation-launcher\b|\bllama-server\b")


def _serves(text: str) -> bool:
    """Whether a shell command starts an engine's server itself."""
    return SERVES.search(text) is not None and "--help" not in text


def _steps(path: Path, mentions: set[str]) -> Iterator[dict[str, Any]]:
    """Tool calls of a trajectory, and that there was a prompt, line by line; what the agent's lines mention goes to
    `mentions` on the way."""
    try:
        file = open_regular(path, READ_BYTES)
    except OSError:
        return
    missing = set(TECHNIQUES)
    with file:
        while line := file.readline(LINE_BYTES):
            start = line[:KIND_WITHIN]
            if any(kind in start for kind in RESULT):
                continue
            # The prompt is ours: what it mentions is no idea of the agent's.
            if any(kind in start for kind in PROMPT):
                yield {"kind": "prompt"}
                continue
            if missing:
                lowered = line.lower()
                found = {name for name in missing if any(word in lowered for word in TECHNIQUES[name])}
                mentions |= found
                missing -= found
            if b'"tool"' not in line:
                continue
            try:
                step = json.loads(line)
            except ValueError:
                continue
            if isinstance(step, dict) and step.get("kind") == "tool":
                yield step


def _texts(given: Any) -> Iterator[tuple[str, bool]]:
    """The strings of a tool call, and whether each is the text of a launcher being written."""
    if not isinstance(given, dict):
        return
    strings = {key: value for key, value in given.items() if isinstance(value, str)}
    writes = any(
        value.endswith("start_server.sh") and "\n" not in value and " " not in value for value in strings.values()
    )
    for value in strings.values():
        if not (writes and value.endswith("start_server.sh")):
            yield value[:LAUNCHER_BYTES], writes
