"""A checkpoint's tokenizer as llama.cpp's GGUF metadata. Byte-level BPE only."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferencebench.errors import UserError

if TYPE_CHECKING:
    from gguf import GGUFWriter

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Token types of `llama_token_type`."""


@dataclass(frozen=True)
class Vocabulary:
    """What llama.cpp needs to tokenize as the checkpoint's own tokenizer does."""

    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    pre: str
    """llama.cpp's name of the pre-tokenizer: how text is split before the merges."""
    special: dict[str, int]
    """Ids by role: `bos`, `eos`, `unk`, `pad`."""
    chat_template: str
    adds_bos: bool

    def write(self, writer: "GGUFWriter") -> None:
        """Add the `tokenizer.*` keys."""
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(list(self.tokens))
        writer.add_token_types(list(self.types))
        writer.add_token_merges(list(self.merges))
        adders = {
            "bos": writer.add_bos_token_id,
            "eos": writer.add_eos_token_id,
            "unk": writer.add_unk_token_id,
            "pad": writer.add_pad_token_id,
        }
        for role, token in self.special.items():
            adders[role](token)
        writer.add_add_bos_token(self.adds_bos)
        writer.add_add_space_prefix(False)
        writer.add_chat_template(self.chat_template)


def read_vocabulary(checkpoint: Path, size: int) -> Vocabulary:
    """The tokenizer of a checkpoint, padded with unused tokens to the model's `size`.

    Raises UserError when the checkpoint has no byte-level BPE tokenizer or no chat template."""
    path = checkpoint / "tokenizer.json"
    if not path.is_file():
        raise UserError(f"{checkpoint}: no tokenizer.json, expected a fast tokenizer")
    tokenizer = json.loads(path.read_text())
    config = json.loads((checkpoint / "tokenizer_config.json").read_text())
    model = tokenizer["model"]
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise UserError(f"{path}: not a byte-level BPE tokenizer, the only kind converted here")
    tokens = [f"[PAD{i}]" for i in range(size)]
    types = [UNUSED] * size
    for text, index in model["vocab"].items():
        tokens[index], types[index] = text, NORMAL
    for added in tokenizer["added_tokens"]:
        tokens[added["id"]] = added["content"]
        types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    return Vocabulary(
        tokens=tuple(tokens),
        types=tuple(types),
        merges=tuple(merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]),
        pre=_pre_tokenizer(path, tokenizer.get("pre_tokenizer") or {}),
        special=_special(config, {text: index for index, text in enumerate(tokens)}),
        chat_template=_chat_template(checkpoint, config),
        adds_bos=bool(config.get("add_bos_token", False)),
    )


def _pre_tokenizer(path: Path, pre_tokenizer: dict[str, Any]) -> str:
    steps = pre_tokenizer.get("pretokenizers") or [pre_tokenizer]
    kinds = [step.get("type") for step in steps]
    last = steps[-1]
    if last.get("type") == "ByteLevel" and last.get("use_regex", True) and not last.get("add_prefix_space"):
        if kinds == ["ByteLevel"]:
            return "gpt-2"
        if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
            return "smollm"
    raise UserError(f"{path}: pre-tokenizer {kinds} has no known llama.cpp name; ByteLevel and Digits+ByteLevel have")


def _special(config: dict[str, Any], ids: dict[str, int]) -> dict[str, int]:
    found = {}
    for role in ("bos", "eos", "unk", "pad"):
        token = config.get(f"{role}_token")
        text = token.get("content") if isinstance(token, dict) else token
        if text in ids:
            found[role] = ids[text]
    return found


def _chat_template(checkpoint: Path, config: dict[str, Any]) -> str:
    path = checkpoint / "chat_template.jinja"
    template = path.read_text() if path.is_file() else config.get("chat_template")
    if not isinstance(template, str):
        raise UserError(f"{checkpoint}: no chat template in chat_template.jinja or tokenizer_config.json")
    return template
