"""The reference: plain transformers `generate`, one request per thread, no batching, no tricks.

It defines what correct and equal work is. It is slow on purpose in one way only: it is naive.
"""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from inferencebench.engines.host import available_cores
from inferencebench.engines.pytorch.sampling import Sampling, SeededDraw
from inferencebench.engines.pytorch.text import Detokenizer, StopFilter
from inferencebench.errors import MissingError, UserError

DTYPES = ("auto", "float32", "bfloat16", "float16")


class Token(NamedTuple):
    """One generated token and the text it completed."""

    id: int
    text: str


class Finish(NamedTuple):
    """The end of an answer: `stop` (end token or stop string) or `length`; `text` was held back until now."""

    reason: str
    completion_tokens: int
    text: str


@dataclass(frozen=True)
class ReferenceOptions:
    """How the reference runs. `auto` takes the checkpoint's dtype and a CUDA device if there is one."""

    model: Path
    dtype: str = "auto"
    device: str = "auto"
    threads: int | None = None
    """Compute threads of one request; None: the cores of the affinity mask."""


class Reference:
    """A loaded model that answers chats. `generate` may be called from any number of threads at once."""

    def __init__(self, options: ReferenceOptions) -> None:
        if not (options.model / "config.json").is_file():
            raise UserError(f"{options.model}: no config.json, expected a checkpoint directory")
        if options.dtype not in DTYPES:
            raise UserError(f"dtype {options.dtype!r}: expected one of {', '.join(DTYPES)}")
        self._threads = options.threads or available_cores()
        # OpenMP takes its default from here in each new thread; torch.set_num_threads alone reaches only the caller's.
        os.environ["OMP_NUM_THREADS"] = str(self._threads)
        try:
            import torch
            import transformers
        except ImportError as error:
            raise MissingError(f"{error.name} is not installed: pip install 'inferencebench[torch]'") from None
        transformers.utils.logging.disable_progress_bar()
        torch.set_num_threads(self._threads)
        self.device = _device(options.device)
        # cuDNN's attention fails under several threads at once ("mha_graph.execute … false", torch 2.11 on an H100).
        torch.backends.cuda.enable_cudnn_sdp(False)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(options.model)
        dtype = options.dtype if options.dtype == "auto" else getattr(torch, options.dtype)
        model = transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=dtype)
        self.model = model.to(self.device).eval()
        self.context_tokens: int = model.config.get_text_config().max_position_embeddings
        self.end_tokens = _end_tokens(options.model, self.tokenizer)
        # Only the request decides how to sample: defaults that a checkpoint ships would make rows unequal.
        self.model.generation_config = transformers.GenerationConfig(
            do_sample=False, pad_token_id=self.tokenizer.pad_token_id or next(iter(self.end_tokens), 0)
        )

    def prompt_ids(self, messages: list[dict[str, str]], template_options: dict[str, Any]) -> list[int]:
        """The prompt under the checkpoint's chat template. Raises UserError when the template refuses the messages."""
        import jinja2

        try:
            encoded = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_dict=True, **template_options
            )
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise UserError(f"messages: the chat template refuses them: {error}") from None
        return list(encoded["input_ids"])

    def generate(
        self, prompt: list[int], sampling: Sampling, emit: Callable[[Token | Finish], None], stop: threading.Event
    ) -> None:
        """Generate an answer, calling `emit` with each token as soon as it exists and with the end.

        Setting `stop` ends it at the next token."""
        import torch

        torch.set_num_threads(self._threads)
        output = _Output(self, sampling, emit)
        ids = torch.tensor([prompt], device=self.device)
        self.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=sampling.max_tokens,
            streamer=output,
            stopping_criteria=[_StopWhen(lambda: stop.is_set() or output.done)],
            logits_processor=[] if sampling.greedy else [SeededDraw(sampling, self.device)],
            # Forced length: the end tokens cannot be generated at all. Going on behind one would hide text.
            suppress_tokens=sorted(self.end_tokens) if sampling.ignore_eos else None,
            eos_token_id=None if sampling.ignore_eos else (sorted(self.end_tokens) or None),
        )
        emit(output.finish())

    def decode(self, ids: list[int]) -> str:
        """Text of generated tokens, without special ones."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


class _Output:
    """The streamer `generate` feeds: first the prompt, then one token at a time."""

    def __init__(self, reference: Reference, sampling: Sampling, emit: Callable[[Token | Finish], None]) -> None:
        self._ends = frozenset() if sampling.ignore_eos else reference.end_tokens
        self._emit = emit
        self._detokenizer = Detokenizer(reference.decode)
        self._filter = StopFilter(sampling.stop)
        self._prompt_seen = False
        self._count = 0
        self._ended = False

    @property
    def done(self) -> bool:
        """Whether a stop string ended the answer."""
        return self._filter.stopped

    def put(self, value: Any) -> None:
        """Called by `generate` with a tensor of token ids."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        for token in value.flatten().tolist():
            self._count += 1
            self._ended = token in self._ends
            self._emit(Token(token, self._filter.push(self._detokenizer.push(token))))

    def end(self) -> None:
        """Called by `generate` at the end; `finish` says more."""

    def finish(self) -> Finish:
        """The end of the answer, with the text that was held back."""
        text = self._filter.push(self._detokenizer.flush()) + self._filter.flush()
        return Finish("stop" if self._ended or self.done else "length", self._count, text)


class _StopWhen:
    """A stopping criterion of `generate` that asks a condition."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        self._condition = condition

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Shape [1]: whether the only sequence of the batch ends here."""
        import torch

        return torch.full((input_ids.shape[0],), self._condition(), dtype=torch.bool, device=input_ids.device)


def _device(choice: str) -> str:
    import torch

    if choice == "auto":
        if torch.cuda.is_available():
            return "cuda"
        if torch.version.cuda and Path("/dev/nvidiactl").exists():
            raise MissingError("a GPU is here, but torch cannot use it; --device cpu serves without it")
        return "cpu"
    if choice.startswith("cuda") and not torch.cuda.is_available():
        raise MissingError("--device cuda: torch sees no CUDA device; use --device cpu")
    return choice


def _end_tokens(model: Path, tokenizer: Any) -> frozenset[int]:
    """Ids that end an answer: those of `generation_config.json` and the tokenizer's own."""
    path = model / "generation_config.json"
    declared = json.loads(path.read_text()).get("eos_token_id") if path.is_file() else None
    ends = [declared] if isinstance(declared, int) else list(declared or [])
    return frozenset(ends) | ({tokenizer.eos_token_id} - {None})
