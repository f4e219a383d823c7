"""Harbor tasks: what they hold, what they keep from the agent, and that Harbor itself takes them."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inferencebench.cli.main import app
from inferencebench.errors import UserError
from inferencebench.export import container, wheel
from inferencebench.export.harbor import write_task
from inferencebench.run.spec import Condition
from inferencebench.suites.load import load, scenario
from tests.run.records import result

SUITE = "laptop-mini"


@pytest.fixture(scope="session")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    suite = load(SUITE)
    out = tmp_path_factory.mktemp("harbor")
    return write_task(out, SUITE, scenario(suite, "decode"), suite.seed_pairs[0], Condition())


def test_harbor_takes_the_task(task: Path, harbor: object) -> None:
    from harbor.lint.models import DEFAULT_RULES
    from harbor.lint.task import lint_task
    from harbor.models.task.task import Task
    from harbor.models.task.verifier_mode import (
        resolve_task_verifier_mode,
        resolve_verifier_environment_definition,
    )

    taken = Task(task)
    assert Task.is_valid_dir(task)
    assert resolve_task_verifier_mode(taken.config).value == "separate"
    verifier = resolve_verifier_environment_definition(taken.config, taken.paths)
    assert verifier is not None
    assert verifier.directory == task / "tests"
    assert verifier.bundled_tests
    assert verifier.config.network_mode.value == "no-network"
    assert taken.config.artifacts == ["/workspace/submission"]
    assert [f for f in lint_task(task) if f.rule in DEFAULT_RULES] == []


def test_the_eval_side_never_enters_the_agents_container(task: Path) -> None:
    pair = load(SUITE).seed_pairs[0]
    for path in (*(task / "environment").rglob("*"), task / "instruction.md", task / "task.toml"):
        if path.is_file() and path.suffix != ".whl":
            assert not re.search(rf"\b{pair.eval}\b", path.read_text()), path
    assert json.loads((task / "tests" / "task.json").read_bytes())["seed_pair"] == [pair.dev, pair.eval]
    assert str(pair.eval) not in task.name


def test_the_instruction_names_only_what_is_there(task: Path) -> None:
    text = (task / "instruction.md").read_text()
    there = {path.name for path in (task / "environment" / "workspace").iterdir()}
    assert set(re.findall(r"`\./(\w+)", text)) <= there
    assert "dev_requests.jsonl" not in text
    assert all(os.access(task / "environment" / "workspace" / name, os.X_OK) for name in there - {"task.json"})
    for script in (*(task / "environment" / "workspace").iterdir(), task / "tests" / "test.sh"):
        if script.suffix != ".json":
            subprocess.run(["bash", "-n", script], check=True)


def test_the_wheel_is_this_package(task: Path, tmp_path: Path) -> None:
    (made,) = (task / "tests").glob("*.whl")
    target = tmp_path / "installed"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", target, made],
        check=True,
    )
    here = Path(container.__file__).parents[1]
    for name in ("export/container.py", "suites/builtin/laptop-mini.toml", "site/templates/base.html"):
        assert (target / "inferencebench" / name).read_bytes() == (here / name).read_bytes()
    assert wheel.build(tmp_path).read_bytes() == made.read_bytes()
    with zipfile.ZipFile(made) as archive:
        assert not any("__pycache__" in name for name in archive.namelist())


def test_pins_are_what_is_installed() -> None:
    pins = dict(pin.split("==") for pin in wheel.pins(frozenset()))
    from importlib.metadata import version

    assert pins["numpy"] == version("numpy")
    assert "torch" not in pins


def test_a_suite_file_goes_along(tmp_path: Path) -> None:
    suite = tmp_path / "mine.toml"
    suite.write_text(f'extends = "{SUITE}"\nname = "mine"\n')
    found = write_task(
        tmp_path / "out", str(suite), scenario(load(SUITE), "prefill"), load(SUITE).seed_pairs[1], Condition()
    )
    assert (found / "tests" / "suite.toml").read_bytes() == suite.read_bytes()
    assert json.loads((found / "tests" / "task.json").read_bytes())["suite"] == "/opt/ib/task/suite.toml"
    assert "suite.toml" in (found / "environment" / "Dockerfile").read_text()


def test_a_task_that_is_there_is_not_overwritten(task: Path) -> None:
    suite = load(SUITE)
    with pytest.raises(UserError, match="exists"):
        write_task(task.parent, SUITE, scenario(suite, "decode"), suite.seed_pairs[0], Condition())


def test_the_command_line(tmp_path: Path) -> None:
    ran = CliRunner().invoke(
        app, ["export", "harbor", "h100-mistral-7b", "A", "B", "-o", str(tmp_path), "--seed-pair", "1,2", "--json"]
    )
    assert ran.exit_code == 0
    tasks = [Path(path) for path in json.loads(ran.stdout)["tasks"]]
    assert [path.name for path in tasks] == ["h100-mistral-7b-prefill-dev1", "h100-mistral-7b-decode-dev1"]
    assert "gpus = 1" in (tasks[0] / "task.toml").read_text()


def test_links_out_of_a_submission_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    submission, secret = tmp_path / "submission", tmp_path / "secret"
    (submission / "lib").mkdir(parents=True)
    (submission / "start_server.sh").write_text("echo")
    (submission / "start_server.sh").chmod(0o755)
    secret.write_text("eval")
    (submission / "salt").symlink_to(secret)
    (submission / "host").symlink_to("/etc")
    (submission / "lib" / "own.sh").symlink_to("../start_server.sh")
    container.stage(submission, tmp_path / "agent")
    staged = tmp_path / "agent" / "submission"
    assert sorted(str(p.relative_to(staged)) for p in staged.rglob("*") if p.is_file()) == [
        "lib/own.sh",
        "start_server.sh",
    ]
    assert not any(p.is_symlink() for p in staged.rglob("*"))
    assert os.access(staged / "start_server.sh", os.X_OK)
    assert "salt" in capsys.readouterr().err


def test_rewards_are_numbers() -> None:
    found = container.rewards(result(agent="script:x", speedup=3.0, raw_speedup=3.0))
    assert found["reward"] == 3.0
    assert found["passed"] == 1
    assert all(isinstance(value, int | float) for value in found.values())


@pytest.mark.skipif("IB_SLOW" not in os.environ, reason="minutes: a real baseline and a real submission")
def test_a_submission_is_scored_by_the_real_pipeline(task: Path, tmp_path: Path) -> None:
    """The verifier's own command on llama.cpp's default, with a shared salt."""
    submission = tmp_path / "submission"
    container.oracle("llamacpp", submission)
    logs = tmp_path / "logs"
    logs.mkdir()
    salt = "ab" * 32
    command = [sys.executable, "-m", "inferencebench.export.container", "verify", task / "tests" / "task.json"]
    subprocess.run([*command, submission, logs], check=True, env=os.environ | {"IB_SALT": salt})
    found = json.loads((logs / "reward.json").read_bytes())
    assert found["passed"] == 1
    assert found["reward"] > 1.2
    assert found["reward"] == pytest.approx(found["raw_speedup"])
    assert (logs / "campaign" / ".salt").read_bytes().hex() == salt
    shutil.rmtree(logs)
