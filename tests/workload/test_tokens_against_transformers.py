"""The light tokenizer gives the counts of transformers', which the reference server uses."""

import pytest
from transformers import AutoTokenizer

from inferencebench.models.store import ensure_checkpoint
from inferencebench.paths import cache_dir
from inferencebench.suites.load import load
from inferencebench.workload.model import Message
from inferencebench.workload.tokens import ChatTokenizer

TEXTS = [
    "",
    "Paris",
    "line\n\n  two\t3.14159",
    "naïve café — 東京 🙂",
    "<|im_start|>user\nhi<|im_end|>",
    "0123456789abcdef" * 20,
]
CHATS = [
    [Message(role="user", content="What is the capital of France?")],
    [
        Message(role="system", content="Be brief."),
        Message(role="user", content="2 + 2"),
        Message(role="assistant", content="4"),
    ],
]


def test_counts_and_prompts_agree() -> None:
    checkpoint = ensure_checkpoint(load("laptop").model, cache_dir()).path
    ours, theirs = ChatTokenizer.load(checkpoint), AutoTokenizer.from_pretrained(str(checkpoint))
    assert ours.count(TEXTS) == [len(theirs.encode(text, add_special_tokens=False)) for text in TEXTS]
    for chat in CHATS:
        rows = [m.model_dump() for m in chat]
        ids = theirs.apply_chat_template(rows, tokenize=True, add_generation_prompt=True, return_dict=False)
        assert ours.prompt_tokens(chat) == len(ids)
    assert ours.decode(ours.encode(TEXTS[3])) == TEXTS[3]


@pytest.mark.parametrize("missing", ["tokenizer.json", "tokenizer_config.json"])
def test_a_checkpoint_without_its_files_is_named(tmp_path, missing: str) -> None:  # type: ignore[no-untyped-def]
    from inferencebench.errors import UserError

    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "x"}')
    (tmp_path / missing).unlink(missing_ok=True)
    with pytest.raises(UserError, match="tokenizer"):
        ChatTokenizer.load(tmp_path)
