"""The view of the harness that a sandbox gets."""

import sys
from pathlib import Path

import pytest

import inferencebench
from inferencebench.sandbox.contract import Mount
from inferencebench.sandbox.environment import engine_view, interpreter_prefixes, masks
from tests.sandbox.conftest import Box


def test_interpreter_and_packages_work_inside(any_box: Box) -> None:
    code = "import inferencebench, pydantic, sys; print(inferencebench.__version__, pydantic.VERSION, sys.prefix)"
    process = any_box.run(["/bin/sh", "-c", f'exec "$IB_PYTHON" -c "{code}"'])
    import pydantic

    prefix = "/opt/ib" if any_box.backend.verified else sys.prefix
    assert any_box.output(process).split() == [inferencebench.__version__, pydantic.VERSION, prefix]


def test_python_on_the_path_is_the_environments(walled: Box) -> None:
    assert walled.output(walled.run(["/bin/sh", "-c", "command -v python"])) == "/opt/ib/bin/python\n"


def test_nothing_of_the_view_is_writable(walled: Box) -> None:
    view = engine_view()
    assert not any(mount.writable for mount in view.mounts)
    script = "touch /opt/ib/x || touch /opt/inferencebench/inferencebench/x || touch /opt/x"
    assert walled.code(walled.run(["/bin/sh", "-c", script])) != 0
    assert walled.err.count("Read-only file system") == 3


def test_every_link_of_the_interpreter_is_shown() -> None:
    """Following `bin/python` link by link never leaves what is mounted at its own path, the environment or /usr."""
    shown = [Path(sys.prefix), Path("/usr"), *interpreter_prefixes()]
    link = Path(sys.prefix) / "bin" / "python"
    while link.is_symlink():
        link = link.parent / link.readlink()
        assert any(link.is_relative_to(place) for place in shown), link


@pytest.mark.parametrize(
    ("package", "mounts", "expected"),
    [
        ("/src/inferencebench", [], "/src/inferencebench/workload/questions"),
        (
            "/env/lib/site-packages/inferencebench",
            [Mount(Path("/env"), "/opt/ib")],
            "/opt/ib/lib/site-packages/inferencebench/workload/questions",
        ),
        (
            "/src/inferencebench",
            [Mount(Path("/src/inferencebench"), "/opt/inferencebench/inferencebench")],
            "/opt/inferencebench/inferencebench/workload/questions",
        ),
        ("/usr/lib/python3/inferencebench", [], "/usr/lib/python3/inferencebench/workload/questions"),
    ],
)
def test_masks_follow_the_package(package: str, mounts: list[Mount], expected: str) -> None:
    assert expected in masks(Path(package), mounts)


def test_installed_package_is_masked_in_the_environment_too(walled: Box) -> None:
    """A package inside the environment is seen twice; both copies of its answers are covered."""
    environment = walled.folder / "env"
    questions = environment / "lib" / "inferencebench" / "workload" / "questions"
    questions.mkdir(parents=True)
    (questions / "gold.jsonl").write_text("C")
    mounts = [Mount(environment, "/opt/ib"), Mount(questions.parents[1], "/opt/inferencebench/inferencebench")]
    spec = walled.spec(mounts=tuple(mounts), masked=masks(questions.parents[1], mounts), cwd="/")
    process = walled.run(["/bin/sh", "-c", "find /opt -name 'gold*'; find /opt -name questions | wc -l"], spec)
    assert walled.output(process) == "2\n"


def test_directories_of_the_python_path_are_shown_if_pip_filled_them(
    walled: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed, records = tmp_path / "site", tmp_path / "records"
    (installed / "extra-1.0.dist-info").mkdir(parents=True)
    (installed / "extra_module.py").write_text("ANSWER = 42")
    records.mkdir()
    (records / "salt").write_text("secret")
    monkeypatch.setenv("PYTHONPATH", f"{installed}:{records}")
    view = engine_view()
    assert not any(mount.source == records for mount in view.mounts)
    spec = walled.spec()
    process = walled.run(["/bin/sh", "-c", '"$IB_PYTHON" -c "import extra_module; print(extra_module.ANSWER)"'], spec)
    assert walled.output(process) == "42\n"
