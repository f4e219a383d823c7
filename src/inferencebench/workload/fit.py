"""Cutting a window of text so that the whole chat prompt has an exact number of tokens."""

from collections.abc import Callable

from inferencebench.errors import InfrastructureError
from inferencebench.workload.model import Message
from inferencebench.workload.tokens import ChatTokenizer

MAX_TOKEN_STEPS = 6
BACKWARD_STEPS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)
"""Tokens cut away before filling up: few where they do, many across a run of white space."""
FILLER = " a"
"""One token in every byte-pair and unigram vocabulary, and never merged with its neighbours."""


def prompt_message(nonce: str, text: str) -> Message:
    """The one user message of a timed prompt: the nonce on its own line, then the text."""
    return Message(role="user", content=f"{nonce}\n{text}")


def fit_prompt(
    window: str,
    nonce: str,
    prompt_tokens: int,
    tokenizer: ChatTokenizer,
    dress: Callable[[str], str] = lambda text: text,
) -> Message:
    """The message with a head of `window` whose whole prompt has exactly `prompt_tokens` tokens. `dress` adds to the
    head what belongs into this prompt besides.

    A cut changes how the end of the text is tokenized, so each candidate is counted again as a whole prompt. Steps of
    the missing tokens nearly always arrive; where the count jumps over the target (a diagram, a character of
    several tokens), the text is cut shorter and filled up. Raises `InfrastructureError` if nothing fits."""
    text = window.lstrip()
    ends = [span.end for span in tokenizer.spans(text)]

    def measured(kept: int, fillers: int = 0) -> tuple[Message, int]:
        # Templates may trim messages: no text ends in white space.
        head = text[: ends[kept - 1]].rstrip() if kept else ""
        message = prompt_message(nonce, dress(head + FILLER * fillers))
        return message, tokenizer.prompt_tokens([message])

    kept = min(max(prompt_tokens - measured(0)[1], 1), len(ends))
    for _ in range(MAX_TOKEN_STEPS):
        message, count = measured(kept)
        if count == prompt_tokens:
            return message
        kept = min(max(kept + prompt_tokens - count, 1), len(ends))
    for step in BACKWARD_STEPS:
        shorter = max(kept - step, 0)
        missing = prompt_tokens - measured(shorter)[1]
        if missing > 0:
            message, count = measured(shorter, missing)
            if count == prompt_tokens:
                return message
    raise InfrastructureError(f"no cut of a corpus window gives a prompt of {prompt_tokens} tokens (nonce {nonce})")
