"""The base model's tokenizer as the workload sees it: exact token counts of texts and of whole chat prompts.

Built on `tokenizers` and `jinja2` alone: importing transformers would cost every command seconds. A test holds it
against transformers, which the reference server uses.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from inferencebench.errors import MissingError, UserError
from inferencebench.workload.model import Message

if TYPE_CHECKING:
    from typing import Self

    from tokenizers import Tokenizer

SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token")
"""Special tokens that chat templates refer to by name."""


class Span(NamedTuple):
    """The characters `[start, end)` of a text that one token covers."""

    start: int
    end: int


class ChatTokenizer:
    """A checkpoint's tokenizer with its chat template. Build it with `load`."""

    def __init__(self, tokenizer: "Tokenizer", template: str, special: dict[str, str]) -> None:
        self._tokenizer = tokenizer
        self._template = _compile(template)
        self._special = special

    @classmethod
    def load(cls, checkpoint: Path) -> "Self":
        """The tokenizer of a checkpoint directory.

        Raises `MissingError` without the tokenizers package, `UserError` for a directory without a fast tokenizer or a
        chat template."""
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise MissingError("tokenizers is not installed: pip install 'inferencebench[torch]'") from None
        try:
            config = json.loads((checkpoint / "tokenizer_config.json").read_text())
        except (OSError, ValueError):
            raise UserError(
                f"{checkpoint}: no tokenizer_config.json here; give the directory of a checkpoint"
            ) from None
        # Prompts are cut at character offsets, which only the Rust tokenizers report.
        if not (checkpoint / "tokenizer.json").is_file():
            raise UserError(f"{checkpoint}: has no fast tokenizer (tokenizer.json)")
        beside = checkpoint / "chat_template.jinja"
        template = beside.read_text() if beside.is_file() else config.get("chat_template")
        if not isinstance(template, str):
            raise UserError(f"{checkpoint}: the tokenizer has no chat template; an instruction-tuned model is needed")
        special = {name: _content(config[name]) for name in SPECIAL_NAMES if config.get(name)}
        tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
        # The file may carry the settings of the model's last training batch.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(tokenizer, template, special)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without special tokens."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens kept."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text, without special tokens; one batched call."""
        return [len(e.ids) for e in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def spans(self, text: str) -> list[Span]:
        """The character span of each token of `text`, in order."""
        return [Span(start, end) for start, end in self._tokenizer.encode(text, add_special_tokens=False).offsets]

    def prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Exact number of prompt tokens of a chat: the template with its generation prompt, special tokens included."""
        chat = [{"role": m.role, "content": m.content} for m in messages]
        return len(self.encode(self._template.render(messages=chat, add_generation_prompt=True, **self._special)))


def _compile(template: str) -> Any:
    """The template under the rules of transformers' `apply_chat_template`."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    environment.globals["raise_exception"] = refuse
    return environment.from_string(template)


def _content(token: str | dict[str, Any]) -> str:
    """A special token's text; some configurations wrap it."""
    return token if isinstance(token, str) else str(token["content"])
