"""The corpora: what is shipped is what was frozen, and bad files are named."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferencebench.errors import MissingError, UserError
from inferencebench.suites.model import Corpus
from inferencebench.workload.corpus import MAX_CONTEXT_CHARS, CorpusText, Document, load_corpus
from inferencebench.workload.fit import fit_prompt
from inferencebench.workload.freeze import deduplicated, freeze
from inferencebench.workload.model import Message
from inferencebench.workload.tokens import ChatTokenizer
from tests.workload.conftest import local_data

LONGBENCH = Corpus(name="longbench_v2")


def _row(**changes: object) -> dict[str, object]:
    choices = {f"choice_{letter}": f"option {letter}" for letter in "ABCD"}
    return {"_id": "1", "context": "Some text.", "question": "Which one?", **choices, **changes}


def _file(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_offline_corpus_is_large_distinct_and_licensed(offline: CorpusText) -> None:
    assert 1_000_000 < sum(len(d.text) for d in offline.documents) < 3_000_000
    assert len({d.id for d in offline.documents}) == len(offline.documents) > 300
    assert "PSF" in offline.licence
    paragraphs = [p for d in offline.documents for p in d.text.split("\n\n") if len(" ".join(p.split())) >= 60]
    assert len(set(paragraphs)) == len(paragraphs)


def test_freezing_reads_docstrings_and_is_reproducible(tmp_path: Path) -> None:
    stdlib = tmp_path / "lib"
    (stdlib / "test").mkdir(parents=True)
    outer, inner = "Docstring of the module." * 20, "Docstring of a method." * 20
    source = f'"""{outer}"""\nimport absent\nclass A:\n    def run(self):\n        """{inner}"""\n'
    (stdlib / "a.py").write_text(source)
    (stdlib / "test" / "b.py").write_text(source)
    (stdlib / "broken.py").write_text("def (")
    first, second = tmp_path / "1.gz", tmp_path / "2.gz"
    assert freeze(first, stdlib) == freeze(second, stdlib)
    assert first.read_bytes() == second.read_bytes()
    documents = {row["id"]: row["text"] for row in map(json.loads, gzip.decompress(first.read_bytes()).splitlines())}
    assert documents["stdlib/a"] == f"{outer}\n\nrun\n{inner}"
    assert "topics/assert" in documents
    assert [name for name in documents if name.startswith("stdlib/")] == ["stdlib/a"]


def test_a_paragraph_is_kept_where_it_comes_first() -> None:
    shared = "This paragraph occurs in two documents and is long enough to be told apart. " * 8
    own = "This one occurs only once, in the second document, and is also quite long. " * 8
    documents = list(
        deduplicated(iter([Document("a", shared), Document("b", f"{shared}\n\n{own}"), Document("c", shared)]))
    )
    assert documents == [Document("a", shared), Document("b", own)]


def test_longbench_rows_become_context_question_and_choices(tmp_path: Path) -> None:
    context = "First page.\n \n\n \n  \nSecond page." + "x" * MAX_CONTEXT_CHARS
    corpus = load_corpus(LONGBENCH, _file(tmp_path / "rows.jsonl", _row(context=context)))
    text = corpus.documents[0].text
    assert text.startswith("First page.\n\nSecond page.x")
    assert text.endswith("x\n\nWhich one?\nA. option A\nB. option B\nC. option C\nD. option D")
    assert len(text) < MAX_CONTEXT_CHARS + 200
    assert not corpus.concatenate


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([_row(), {"_id": "2"}], "a row lacks context, question"),
        ([_row(), _row()], "2 documents; at least one, with distinct _id"),
        ([[1]], "rows.jsonl:1: not a JSON object"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, rows: list[object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_corpus(LONGBENCH, _file(tmp_path / "rows.jsonl", *rows))


def test_a_source_must_exist_and_fit_the_corpus(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_corpus(LONGBENCH, tmp_path / "absent.jsonl")
    with pytest.raises(UserError, match="takes no source file"):
        load_corpus(Corpus(name="offline"), tmp_path / "rows.jsonl")


def test_without_the_hub_the_message_tells_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingError, match=r"pip install 'inferencebench\[hub\]'"):
        load_corpus(LONGBENCH)


def test_the_real_longbench_rows_load() -> None:
    corpus = load_corpus(LONGBENCH, local_data("longbench_v2.jsonl"))
    assert len(corpus.documents) > 200
    assert all("\nD. " in d.text[-20_000:] for d in corpus.documents)


hard_texts = st.text(alphabet=st.sampled_from("ab 0.\n\t|-é中🙂\u00a0\u2028"), min_size=1500, max_size=2500)


@given(text=hard_texts, prompt_tokens=st.integers(60, 300))
@settings(max_examples=40, deadline=None)
def test_any_text_is_cut_to_the_exact_length(tokenizer: ChatTokenizer, text: str, prompt_tokens: int) -> None:
    """Also emoji of several tokens, tables, and white space that templates trim."""
    message = fit_prompt("x" + text, "0123456789abcdef", prompt_tokens, tokenizer)
    assert tokenizer.prompt_tokens([message]) == prompt_tokens
    assert message.content.startswith("0123456789abcdef\nx")


def test_counts_agree_with_encoding_and_with_the_rendered_template(tokenizer: ChatTokenizer) -> None:
    texts = ["", "Hello, world!", "né 中文 🙂", " two  spaces\n"]
    assert tokenizer.count(texts) == [len(tokenizer.encode(text)) for text in texts]
    assert tokenizer.count([]) == []
    assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in texts)
    rendered = (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHello, world!<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.prompt_tokens([Message(role="user", content="Hello, world!")]) == len(tokenizer.encode(rendered))


def test_a_directory_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no tokenizer_config.json"):
        ChatTokenizer.load(tmp_path)
