"""Engines by name, ours and third parties'."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inferencebench.engines import registry
from inferencebench.engines.packaged import PackagedEngine
from inferencebench.errors import UserError


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with a good engine, a broken one, and one that claims the baseline's name."""
    metadata = tmp_path / "ibplugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: ibplugin\nVersion: 1.0\n")
    entries = "fancy = ibplugin:ENGINE\nbroken = ibplugin:MISSING\npytorch = ibplugin:ENGINE\n"
    (metadata / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{entries}")
    (tmp_path / "ibplugin.py").write_text(
        "from inferencebench.engines.packaged import PackagedEngine\n"
        "ENGINE = PackagedEngine('fancy', 'Fancy.', 'ibplugin', ('ibplugin',), 'none')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("name", ["pytorch", "llamacpp"])
def test_ours_are_available_and_launch_in_the_foreground(name: str) -> None:
    engine = registry.get(name)
    assert engine.name == name
    assert engine.availability().ok
    launcher = engine.default_launcher()
    assert launcher.startswith("#!/bin/sh\n")
    assert 'exec "$IB_PYTHON"' in launcher
    assert all(f'"${variable}"' in launcher for variable in ("MODEL_PATH", "MODEL_ID", "HOST", "PORT"))


def test_looking_engines_up_imports_none() -> None:
    code = (
        "import sys; from inferencebench.engines import registry;"
        "[registry.get(name).availability() for name in registry.names()];"
        "print({'torch', 'transformers', 'xllamacpp', 'gguf', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "set()"


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"engine 'vlmm': expected one of .*llamacpp.*pytorch"):
        registry.get("vlmm")


@pytest.mark.usefixtures("plugins")
def test_plugins_are_merged_and_cannot_replace_the_baseline() -> None:
    assert {"fancy", "broken", "pytorch", "llamacpp"} <= set(registry.names())
    assert registry.get("fancy").availability().ok
    assert registry.get("pytorch").name == "pytorch"
    with pytest.raises(UserError, match="engine broken: its plug-in ibplugin:MISSING does not load"):
        registry.get("broken")


def test_missing_distribution_names_the_remedy() -> None:
    missing = PackagedEngine("x", "X.", "x", ("ib-no-such-package",), "extra").availability()
    assert not missing.ok
    assert "ib-no-such-package" in missing.detail
    assert missing.remedy == "pip install 'inferencebench[extra]'"
