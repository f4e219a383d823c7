"""Text of the speed prompts: LongBench v2 from the hub or a local file, or the corpus shipped with the package."""

import gzip
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from inferencebench.errors import InfrastructureError, UserError
from inferencebench.files import sha256_bytes, sha256_json
from inferencebench.suites.model import Corpus
from inferencebench.workload.hub import hub_rows, local_rows

OFFLINE_FILE = "offline.jsonl.gz"
OFFLINE_SHA256 = "5609b0f5a5e1a8f339a855576580a0bdf8afe5efbf00f6920f7ded739a460c86"
"""Hash of the shipped file: `freeze` made it once, from CPython 3.11."""
OFFLINE_LICENCE = "PSF-2.0 (CPython 3.11 help topics and docstrings; full text in data/offline.LICENSE.txt)"

LONGBENCH_REPO = "zai-org/LongBench-v2"
LONGBENCH_LICENCE = "Apache-2.0 (LongBench v2)"
LONGBENCH_FIELDS = ("_id", "context", "question", "choice_A", "choice_B", "choice_C", "choice_D")

MAX_CONTEXT_CHARS = 200_000
"""The head of a document that is used. Single LongBench v2 documents reach millions of characters; this much holds six
windows of the longest scenario."""

_BLANK_LINES = re.compile(r"\s*\n\s*\n\s*")
"""Converted PDFs hold pages of blank lines, which make no prompt: any run of them becomes one."""


class Document(NamedTuple):
    """One named text."""

    id: str
    text: str


class CorpusText(NamedTuple):
    """A loaded corpus. `sha256` is over the ids and texts, so it is the same from the hub and from a file."""

    name: str
    documents: tuple[Document, ...]
    sha256: str
    licence: str
    concatenate: bool
    """Whether windows may run over document borders: needed where single documents are shorter than a prompt."""


def load_corpus(corpus: Corpus, source: Path | None = None) -> CorpusText:
    """The suite's corpus. `source`: a local LongBench v2 JSONL file; without it the hub is asked.

    Raises `UserError` for a bad file, `MissingError` without `datasets`, `InfrastructureError` for a damaged package.
    """
    if corpus.name == "offline":
        if source is not None:
            raise UserError(f"{source}: the offline corpus is shipped with the package and takes no source file")
        return _offline()
    rows = local_rows(source) if source is not None else hub_rows(LONGBENCH_REPO, "train")
    documents = tuple(_longbench_document(row, str(source or LONGBENCH_REPO)) for row in rows)
    if len({document.id for document in documents}) != len(documents) or not documents:
        raise UserError(f"{source or LONGBENCH_REPO}: {len(documents)} documents; at least one, with distinct _id")
    return CorpusText("longbench_v2", documents, sha256_json(documents), LONGBENCH_LICENCE, concatenate=False)


@lru_cache(maxsize=1)
def _offline() -> CorpusText:
    raw = files("inferencebench.workload").joinpath("data", OFFLINE_FILE).read_bytes()
    if sha256_bytes(raw) != OFFLINE_SHA256:
        raise InfrastructureError(
            f"workload/data/{OFFLINE_FILE} is not the file of this version: reinstall the package"
        )
    documents = tuple(Document(**json.loads(line)) for line in gzip.decompress(raw).splitlines())
    return CorpusText("offline", documents, sha256_json(documents), OFFLINE_LICENCE, concatenate=True)


def _longbench_document(row: Mapping[str, Any], where: str) -> Document:
    """Context, question and choices of one row, in this order."""
    lacking = [field for field in LONGBENCH_FIELDS if not isinstance(row.get(field), str)]
    if lacking:
        raise UserError(f"{where}: a row lacks {', '.join(lacking)}; each row needs {', '.join(LONGBENCH_FIELDS)}")
    choices = "\n".join(f"{letter}. {row[f'choice_{letter}']}" for letter in "ABCD")
    context = _BLANK_LINES.sub("\n\n", row["context"][:MAX_CONTEXT_CHARS])
    return Document(row["_id"], f"{context}\n\n{row['question']}\n{choices}")
