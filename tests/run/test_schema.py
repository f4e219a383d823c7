"""The published JSON schemas are those of the code."""

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_published_schemas_are_current() -> None:
    texts = runpy.run_path(str(ROOT / "scripts" / "schema.py"))["texts"]()
    for name, text in texts.items():
        assert (ROOT / "docs" / "schema" / name).read_text() == text, f"{name}: run scripts/schema.py"
