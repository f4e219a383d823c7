"""Build the offline corpus file: `python -m inferencebench.workload.freeze OUT.jsonl.gz`.

Run once; the result is shipped, because both sources differ between Python versions. Sources: the language reference
topics of `pydoc_data` and the docstrings of the standard library's Python files, both under the PSF licence. Files are
parsed, never imported. A paragraph that occurs twice is kept once, so that two documents share no text.
"""

import argparse
import ast
import gzip
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from inferencebench.files import canonical_json, sha256_file, write_atomic
from inferencebench.workload.corpus import Document

SKIPPED_FOLDERS = frozenset({"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "pydoc_data"})
MIN_DOCUMENT_CHARS = 400
MIN_DEDUPLICATED_CHARS = 60
"""Shorter paragraphs ("Return a string.") repeat by nature and may."""


def topics() -> Iterator[Document]:
    """The topics of the interactive help, one document each."""
    from pydoc_data.topics import topics as texts

    for name in sorted(texts):
        yield Document(f"topics/{name}", texts[name])


def docstrings(stdlib: Path) -> Iterator[Document]:
    """The docstrings of each standard library file, outer ones first, one document per file."""
    for path in sorted(stdlib.rglob("*.py")):
        relative = path.relative_to(stdlib)
        if SKIPPED_FOLDERS & set(relative.parts):
            continue
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue  # deliberately broken test material
        texts = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    heading = f"{node.name}\n" if not isinstance(node, ast.Module) else ""
                    texts.append(heading + text)
        yield Document(f"stdlib/{relative.with_suffix('').as_posix()}", "\n\n".join(texts))


def deduplicated(documents: Iterator[Document]) -> Iterator[Document]:
    """The documents without paragraphs seen before, and without those that are then too short."""
    seen: set[str] = set()
    for document in documents:
        kept = []
        for paragraph in document.text.split("\n\n"):
            words = " ".join(paragraph.split())
            if not words or (len(words) >= MIN_DEDUPLICATED_CHARS and words in seen):
                continue
            seen.add(words)
            kept.append(paragraph.strip("\n"))
        text = "\n\n".join(kept)
        if len(text) >= MIN_DOCUMENT_CHARS:
            yield Document(document.id, text)


def freeze(out: Path, stdlib: Path) -> int:
    """Write the corpus as gzipped canonical JSON lines; the number of characters."""
    documents = list(deduplicated(iter([*topics(), *docstrings(stdlib)])))
    lines = b"".join(canonical_json(document._asdict()) + b"\n" for document in documents)
    # mtime 0: equal text gives equal bytes.
    write_atomic(out, gzip.compress(lines, compresslevel=9, mtime=0))
    return sum(len(document.text) for document in documents)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the offline corpus file of this Python's documentation.")
    parser.add_argument("out", type=Path)
    target = parser.parse_args().out
    characters = freeze(target, Path(sysconfig.get_paths()["stdlib"]))
    print(f"{target}: {characters:,} characters, sha256 {sha256_file(target)}")
