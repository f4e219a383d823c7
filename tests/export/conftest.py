"""Packages of the formats, each skipped where it is absent."""

import sys
import typing
from typing import Any

import pytest
import typing_extensions


@pytest.fixture
def harbor() -> Any:
    """The package harbor. It wants Python 3.12; under 3.11 two names of `typing` stand in, which its task models and
    linter need."""
    if sys.version_info < (3, 12):
        for name in ("override", "TypedDict"):
            setattr(typing, name, getattr(typing_extensions, name))
    return pytest.importorskip("harbor.lint.task", reason="needs harbor: make test-export")
