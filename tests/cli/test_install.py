"""`scripts/install.py` repairs an environment without pip, and says in one line what it cannot do."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

INSTALL = Path(__file__).parents[2] / "scripts" / "install.py"


def install(folder: Path, tmp_path: Path, *, modules: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The script with no program on PATH: no apt-get, no bwrap, no nvidia-smi."""
    (tmp_path / "empty").mkdir(exist_ok=True)
    env = {"PATH": str(tmp_path / "empty"), "HOME": str(tmp_path)} | ({"PYTHONPATH": str(modules)} if modules else {})
    argv = [sys.executable, str(INSTALL), "--venv", str(folder)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, env=env, check=False)


def python_that(folder: Path, body: str) -> None:
    """A `bin/python` of a virtual environment that is this shell script."""
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\n")
    python = folder / "bin" / "python"
    python.write_text(f"#!/bin/sh\n{body}\n")
    python.chmod(0o755)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_an_environment_without_pip_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "env"
    venv.create(folder, with_pip=False)
    code = f"import sys; sys.path.insert(0, {str(INSTALL.parent)!r}); import install, pathlib; "
    code += f"print(install.make_venv(pathlib.Path({str(folder)!r})))"
    python = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run([python, "-m", "pip", "--version"], check=True, capture_output=True)


def test_a_venv_module_that_fails_is_one_line(tmp_path: Path) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "venv.py").write_text("raise SystemExit(1)\n")
    line = last_line(install(tmp_path / "env", tmp_path, modules=modules))
    assert f"-m venv --clear {tmp_path / 'env'}" in line
    assert "run it to see why" in line


@pytest.mark.parametrize("body", ['case "$*" in *install*) exit 1;; esac', 'case "$*" in *" -e "*) exit 7;; esac'])
def test_a_failed_pip_names_its_command(tmp_path: Path, body: str) -> None:
    python_that(tmp_path / "env", body)
    line = last_line(install(tmp_path / "env", tmp_path))
    assert f"of: {tmp_path / 'env' / 'bin' / 'python'} -m pip install" in line
    assert "run this again" in line
    assert not (tmp_path / "env" / ".installed").exists()


def test_a_folder_that_is_no_environment_is_not_cleared(tmp_path: Path) -> None:
    keep = tmp_path / "home" / "keep"
    keep.parent.mkdir()
    keep.write_text("mine")
    assert "not a virtual environment" in last_line(install(keep.parent, tmp_path))
    assert "not a virtual environment" in last_line(install(keep, tmp_path))
    assert keep.read_text() == "mine"
