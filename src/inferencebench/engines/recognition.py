"""Which engine a launcher starts, and with which settings: by its text alone, whoever wrote it."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from inferencebench.files import open_regular

MARKS: tuple[tuple[str, str], ...] = (
    ("pytorch", r"inferencebench\.engines\.pytorch\b"),
    ("llamacpp", r"inferencebench\.engines\.llamacpp\b|\bllama-server\b|\bllama_cpp\.server\b|\bxllamacpp\b"),
    ("transformers", r"inferencebench\.engines\.transformers\b|\btransformers(-cli)?\s+serve\b|\bContinuousBatch\w*"),
    ("vllm", r"\bvllm\.entrypoints\b|\bvllm\s+serve\b|\bfrom vllm\b|\bimport vllm\b|\bAsyncLLM(Engine)?\b"),
    ("sglang", r"\bsglang\.launch_server\b|\bsglang\s+serve\b|\bimport sglang\b|\bsgl\.Engine\b"),
    ("tgi", r"\btext-generation-(launcher|server|router)\b"),
    ("tensorrt-llm", r"\btrtllm-serve\b|\btensorrt_llm\b"),
    ("lmdeploy", r"\blmdeploy\b"),
    ("pytorch", r"\bAutoModelForCausalLM\b|\bimport torch\b"),
)
"""Engine and what gives it away; the first that is found names the launcher, most particular first."""

LOCATION = frozenset(
    {"model", "model-path", "model-id", "served-name", "served-model-name", "host", "hostname", "port"}
)
"""Options that say what is served and where: never a setting."""

SHORT: dict[str, dict[str, str]] = {
    "vllm": {"-tp": "tensor-parallel-size", "-pp": "pipeline-parallel-size", "-dp": "data-parallel-size",
             "-q": "quantization", "-O": "compilation-config", "-cc": "compilation-config"},
    "sglang": {},
    "llamacpp": {"-c": "ctx-size", "-t": "threads", "-tb": "threads-batch", "-b": "batch-size", "-ub": "ubatch-size",
                 "-np": "parallel", "-fa": "flash-attn", "-ctk": "cache-type-k", "-ctv": "cache-type-v",
                 "-ngl": "n-gpu-layers", "-m": "model", "-md": "model-draft"},
}  # fmt: skip

VARIABLES = re.compile(r"^(VLLM|SGLANG|SGL|TGI|LLAMA_ARG|GGML|IB|OMP|MKL|CUDA|TORCH|TORCHINDUCTOR|PYTORCH|FLASHINFER)_")
"""Environment variables that are settings of an engine or of what it computes with."""
HARMLESS = frozenset(
    {"VLLM_NO_USAGE_STATS", "VLLM_USE_FLASHINFER_SAMPLER", "VLLM_HOST_IP", "IB_PYTHON", "CUDA_VISIBLE_DEVICES"}
)
SCRIPT = re.compile(r"(?<![\w./-])[\w./-]+\.(?:py|sh)\b")
LAUNCHER_BYTES = 1 << 16


@dataclass(frozen=True)
class Recognised:
    """What a launcher runs."""

    engine: str | None
    """None: no engine that is known."""
    settings: dict[str, str] = field(default_factory=dict)
    """Options and variables beyond the default: name without dashes → value (`true` for a bare flag)."""

    @property
    def is_default(self) -> bool:
        """Whether the engine runs with nothing changed."""
        return self.engine is not None and not self.settings


def recognise(text: str) -> Recognised:
    """The engine that a launcher (or a script that it calls) starts, and its non-default settings. Never raises."""
    lines = list(_commands(text))
    code = "\n".join(lines)
    engine = next((name for name, pattern in MARKS if re.search(pattern, code)), None)
    if engine is None:
        return Recognised(None)
    settings: dict[str, str] = {}
    pattern = "|".join(p for name, p in MARKS if name == engine)
    for line in lines:
        words = _words(line)
        settings |= _variables(words)
        if (found := re.search(pattern, line)) is not None:
            settings |= _options(_words(line[found.start() :]), SHORT.get(engine, {}))
    return Recognised(engine, settings)


def of_submission(folder: Path) -> Recognised | None:
    """Of a submission's launcher, or where that names no engine, of the first script it calls that does; None where
    there is no launcher. Nothing outside the submission is read."""
    text = head(folder / "start_server.sh")
    if text is None:
        return None
    found = recognise(text)
    if found.engine is None:
        for name in SCRIPT.findall(text):
            below = Path(name.rpartition("submission/")[2].lstrip("./"))
            text = head(folder / below) if ".." not in below.parts else None
            called = recognise(text or head(folder / below.name) or "")
            if called.engine is not None:
                return called
    return found


def head(path: Path) -> str | None:
    """The beginning of a launcher or script; None where there is no such file, whatever its name is."""
    try:
        with open_regular(path) as file:
            return file.read(LAUNCHER_BYTES).decode(errors="replace")
    except OSError:
        return None


def _commands(text: str) -> Iterator[str]:
    """Logical lines: continued ones joined, comments and empty ones left out."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        bare = line.strip()
        if bare and not bare.startswith("#"):
            yield bare


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # an open quote: a here-document or no shell at all
        return line.split()


def _variables(words: list[str]) -> dict[str, str]:
    """`NAME=value` of an export, or before a command, where NAME is a setting."""
    found: dict[str, str] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if separator and VARIABLES.match(name) and name not in HARMLESS:
            found[name] = value
        elif word not in ("export", "env", "exec") and not separator:
            break
    return found


def _options(words: list[str], short: dict[str, str]) -> dict[str, str]:
    """Long options of a command line, one spelling each: `--no-x` is x=false, `--a_b=c` is a-b=c."""
    found: dict[str, str] = {}
    name: str | None = None
    for word in words:
        if word in (";", "&", "&&", "||", "|", ">", ">>", "2>&1") or word.startswith((">", "2>")):
            break
        if word in short:
            name = short[word]
            found[name] = "true"
        elif word.startswith("--") and len(word) > 2:
            key, separator, value = word[2:].partition("=")
            name = key.replace("_", "-")
            negated = name.startswith("no-") and not separator
            name = name.removeprefix("no-") if negated else name
            found[name] = value if separator else "false" if negated else "true"
            name = None if separator or negated else name
        elif name is not None:
            found[name] = word if found[name] == "true" else f"{found[name]} {word}"
    return {key: value for key, value in found.items() if key not in LOCATION}
