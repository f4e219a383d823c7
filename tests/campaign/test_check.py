"""What every run would refuse is one line at `plan` and at `run`, and what only this machine lacks is none."""

import re
from pathlib import Path

import pytest

from inferencebench.campaign.check import checked
from inferencebench.cli.campaign import plan, run
from inferencebench.errors import UserError


def file_of(folder: Path, matrix: str = "", rest: str = "", agents: str = '"engine:llamacpp"') -> Path:
    path = folder / "c.toml"
    suites = "" if "suites" in matrix else 'suites = ["laptop"]\n'
    path.write_text(f'name = "t"\n{rest}\n[matrix]\n{suites}agents = [{agents}]\n{matrix}\n')
    return path


AGENTS = {
    "engine:lamacpp": "lamacpp",
    "script:nope": "no such script",
    "claude:opus": "is not known",
    "": "agent '' is not known",
    "foo": "is not known",
    "search:tpe?engine=nope": "nope",
    "script:./a/": "write 'script:./a/' as 'script:./a'",
}


@pytest.mark.parametrize(("agent", "says"), AGENTS.items())
def test_an_agent_that_no_run_would_take_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: str, says: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "solve.sh").touch()
    monkeypatch.chdir(tmp_path)
    refused(file_of(tmp_path, agents=f'"{agent}"'), says)


MATRIX = {
    "seed_pairs = [{ dev = 1, eval = 1 }]": "matrix.seed_pairs: the dev and the eval seed must differ, and both are 1",
    'conditions = [{ start = "nonengine" }]': "--start nonengine: expected one of empty",
    'conditions = [{ prompt = "structured" }]': "condition prompt=structured of engine:llamacpp: --prompt: nothing",
    "conditions = [{ budget_s = inf }]": "matrix.conditions: budget_s: inf is wrong",
    "repeats = true": "matrix.repeats: True is wrong; give a whole number",
    'repeats = "3"': "matrix.repeats: '3' is wrong; give a whole number",
    "repeats = 2026-01-01": "holds a date",
    'suites = ["~nouser/x.toml"]': "~nouser/x.toml",
    f"seed_pairs = {'[' * 2000}{']' * 2000}": "nested too deeply",
    f"seed_pairs = {'[' * 250}{']' * 250}": "nested too deeply",
}


@pytest.mark.parametrize(("matrix", "says"), MATRIX.items(), ids=lambda text: text[:40])
def test_what_is_wrong_in_the_matrix_is_one_line(tmp_path: Path, matrix: str, says: str) -> None:
    refused(file_of(tmp_path, matrix), says)


REST = {
    'executor.kind = "sluurm"': "executor.kind: 'sluurm' is not known; give htcondor, local, ray, slurm",
    'executor = { kind = "slurm", options = { partion = "gpu" } }': "executor.options.partion: not an option of slurm",
    'executor = { kind = "htcondor", options = { slts = 3 } }': "executor.options.slts: not an option of htcondor",
    "executor.options = { cpus = 4 }": "executor.options.cpus: not an option of local; known are python",
    'executor.options = { partition = "gpu" }': "executor.options.partition: not an option of local",
    'executor.options = { python = "/no/such/python" }': "executor.options.python: '/no/such/python' is no program",
    'executor = { kind = "ray", options = { cpus = "four" } }': "cpus",
    'executor.sandbox = "nosuch"': "sandbox 'nosuch' is not known",
    "executor.time_margin = inf": "executor.time_margin: inf is wrong; give a finite number",
    "bounds.max_usd = inf": "bounds.max_usd: inf is wrong",
    "retry.backoff_s = nan": "retry.backoff_s: nan is wrong",
}


@pytest.mark.parametrize(("rest", "says"), REST.items())
def test_what_is_wrong_beside_it_is_one_line(tmp_path: Path, rest: str, says: str) -> None:
    refused(file_of(tmp_path, rest=rest), says)


def refused(path: Path, says: str) -> None:
    """By `plan` and by `run`, with exit code 2, and nothing is begun."""
    for command in (lambda: plan(path), lambda: run(path, path.parent / "out", retry=False, json=False)):
        with pytest.raises(UserError, match=re.escape(says)) as caught:
            command()
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 2
    assert not (path.parent / "out").exists()


@pytest.mark.parametrize("kind", ["slurm", "ray", "htcondor"])
def test_a_laptop_plans_what_it_cannot_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    suite = 'suites = ["h100-mistral-7b"]'
    executor = f'executor = {{ kind = "{kind}", options = {{ cpus = 16 }} }}'
    path = file_of(tmp_path, suite, executor, '"engine:vllm", "search:tpe?engine=vllm"')
    plan(path)
    assert "no price" in capsys.readouterr().out


def test_a_price_is_printed_where_one_was_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan(file_of(tmp_path, rest="rates.device_usd_per_hour = 2"))
    assert re.search(r"\$[1-9]", capsys.readouterr().out)
    plan(file_of(tmp_path), json=True)
    assert '"estimated_usd": null' in capsys.readouterr().out


def test_the_example_of_the_documentation_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    text = (root / "docs" / "campaigns.md").read_text()
    path = tmp_path / "nightly.toml"
    path.write_text(text.partition("```toml\n")[2].partition("```")[0])
    assert {task.scenario.value for task in checked(path).tasks} == {"prefill", "decode"}
