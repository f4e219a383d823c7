"""Agents of other packages: found by entry points, and never in the way when they are broken."""

import json
from pathlib import Path

import pytest

from inferencebench.agents import registry
from inferencebench.agents.adapters import registry as adapters
from inferencebench.agents.session import CliAgent
from inferencebench.errors import UserError
from tests.e2e.conftest import bench

MODULE = """
from inferencebench.agents.adapters import codex
from inferencebench.agents.install import Package
from inferencebench.agents.script import ScriptAgent
ADAPTER = codex.ADAPTER._replace(package=Package(name="other", npm="other-cli", version="1.0.0", program="other"))
def make(rest):
    return ScriptAgent(rest)
NOT_ONE = 7
"""


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds a distribution with agents, as if it were installed."""
    (tmp_path / "ib_other.py").write_text(MODULE)
    info = tmp_path / "ib_other-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ib-other\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[inferencebench.cli_agents]\nother = ib_other:ADAPTER\nbroken = ib_absent:X\ncodex = ib_absent:X\n"
        "wrong = ib_other:NOT_ONE\n[inferencebench.agents]\nscript2 = ib_other:make\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_agents_of_another_package(plugged: Path) -> None:
    other = registry.get("other:model-1?turns=3")
    assert isinstance(other, CliAgent)
    assert other.name == "other:model-1?turns=3"
    (plugged / "x.sh").write_text("true")
    assert registry.get(f"script2:{plugged}/x.sh").name == f"script:{plugged}/x.sh"


def test_a_broken_plugin_is_one_line_and_only_for_who_names_it(plugged: Path) -> None:
    with pytest.raises(UserError, match=r"agent broken: its plug-in ib_absent:X does not load"):
        registry.get("broken:m")
    with pytest.raises(UserError, match="is no Adapter"):
        adapters.get("wrong")
    assert registry.get("codex:m").name == "codex:m"  # the built-in one
    with pytest.raises(UserError, match="name one as"):
        registry.get("nobody:m")


def test_the_verb_lists_the_built_in_agents() -> None:
    rows = json.loads(bench("agents", "list", "--json").stdout)
    assert [row["name"] for row in rows] == ["claude-code", "codex", "opencode", "gemini-cli"]
    assert "no command-line agent" in bench("agents", "install", "cursor", code=2).stderr
