"""Text Generation Inference: a program of its own, not a Python module; official builds are container images."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from inferencebench.engines.contract import Availability, Fatal, Startup
from inferencebench.engines.packaged import launcher_text

PROGRAM = "text-generation-launcher"
VERSION_S = 20.0

FATAL = (
    Fatal(r"OutOfMemoryError|CUDA out of memory", "out of GPU memory"),
    Fatal(r"Not enough memory to handle", "no memory left for the KV cache"),
    Fatal(r"ShardCannotStart|Shard \d+ failed to start|ShardFailed", "a shard failed"),
    Fatal(r"CUDA error|CUBLAS_STATUS_", "CUDA error"),
    Fatal(r"ArgumentValidation|^error: (invalid value|unexpected argument)", "an option is refused"),
    Fatal(r"NotImplementedError", "unsupported combination"),
)

# TGI calls the model by the path that it was given; a link of that name makes the two the same.
_NAMED = (
    'cd "${HOME:-/tmp}"',
    'mkdir -p "$(dirname "$MODEL_ID")"',
    'ln -sfn "$MODEL_PATH" "$MODEL_ID"',
)


@dataclass(frozen=True)
class TgiEngine:
    """TGI where `text-generation-launcher` is on the PATH, as in its container image."""

    name: str = "tgi"
    title: str = "Text Generation Inference at its defaults."
    image: str = "ghcr.io/huggingface/text-generation-inference:{version}"
    forces_length: bool = False
    """Generation ends at the end-of-sequence token, unless patched."""
    startup: Startup = field(default_factory=lambda: Startup(ready_s=420.0, quiet_s=120.0, fatal=FATAL))

    def availability(self) -> Availability:
        """Version or what is missing."""
        number = self.version()
        if number is None:
            return Availability(False, f"{PROGRAM} is not on the PATH", f"run inside {self.image.format(version='3')}")
        return Availability(True, f"text-generation-inference {number}")

    def version(self) -> str | None:
        """What the launcher says its version is; None where there is no launcher."""
        program = shutil.which(PROGRAM)
        if program is None:
            return None
        try:
            done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=VERSION_S)
        except (OSError, subprocess.TimeoutExpired):
            return None
        found = re.search(r"\d+\.\d+[\w.]*", done.stdout)
        return found.group() if found else None

    def default_launcher(self) -> str:
        """A `start_server.sh` without any option of TGI's own."""
        return self.launcher()

    def launcher(self, arguments: Sequence[str] = (), env: Mapping[str, str] | None = None) -> str:
        """A `start_server.sh` with options."""
        where = '--model-id "$MODEL_ID" --hostname "$HOST" --port "$PORT"'
        return launcher_text(self.title, {"HF_HUB_OFFLINE": "1"}, env, f"exec {PROGRAM}", where, arguments, _NAMED)

    def help_argv(self) -> list[str]:
        """`text-generation-launcher --help`."""
        return [PROGRAM, "--help"]


ENGINE = TgiEngine()
