"""The Slurm executor without a Slurm: its script, and its commands by stand-ins. A real one is in tests/cluster."""

import subprocess
from pathlib import Path

import pytest

from inferencebench.campaign.executors import registry
from inferencebench.campaign.executors.contract import Order
from inferencebench.campaign.executors.slurm import SlurmExecutor
from inferencebench.campaign.model import Campaign, Matrix, Placement
from inferencebench.errors import UserError


def executor(folder: Path, **options: object) -> SlurmExecutor:
    return SlurmExecutor(Placement.model_validate({"kind": "slurm", "options": options}), folder)


def order(folder: Path, name: str, devices: int = 0) -> Order:
    return Order(name, ("true",), devices, 90.0, folder / f"{name}.log", {})


def commands(folder: Path, monkeypatch: pytest.MonkeyPatch, **answers: str) -> Path:
    """Stand-ins on the PATH, each a line of shell, that note their arguments and their environment."""
    bin_ = folder / "bin"
    bin_.mkdir()
    for name, answer in {
        "sbatch": "echo 7",
        "squeue": "true",
        "scancel": "true",
        "scontrol": "true",
        **answers,
    }.items():
        (bin_ / name).write_text(
            f'#!/bin/sh\necho "{name} $*" >> {folder}/calls\nenv > {folder}/{name}.env\n{answer}\n'
        )
        (bin_ / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:/usr/bin:/bin")
    return folder / "calls"


def test_a_job_gets_a_short_list_of_variables_and_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller stores a job's environment; $SBATCH_EXPORT would win over the script."""
    commands(tmp_path, monkeypatch)
    monkeypatch.setenv("SBATCH_EXPORT", "ALL")
    executor(tmp_path / "slurm").place([order(tmp_path, "a")])
    (script,) = (tmp_path / "slurm").glob("*.sh")
    assert "#SBATCH --export=PATH,HOME,LANG,INFERENCEBENCH_CACHE,XDG_CACHE_HOME\n" in script.read_text()
    assert "SBATCH_EXPORT" not in (tmp_path / "sbatch.env").read_text()


@pytest.mark.parametrize(("options", "shell"), [({}, "#!/bin/bash"), ({"setup": "module load x"}, "#!/bin/bash -l")])
def test_lines_of_setup_have_a_login_shell(tmp_path: Path, options: dict[str, str], shell: str) -> None:
    text = executor(tmp_path, **options).script(tmp_path / "o.json", 1, 0, 5)
    assert text.splitlines()[0] == shell
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


GPU_SUITE = Matrix(suites=("h100-mistral-7b",), agents=("engine:vllm",))


@pytest.mark.parametrize(
    ("options", "devices", "asks"),
    [
        ({}, 0, {"exclusive"}),
        ({"cpus": 4}, 0, {"cpus-per-task=4"}),
        ({"cpus": 16}, 1, {"cpus-per-task=16", "gres=gpu:1"}),
        ({"extra": ["--cpus-per-gpu=14"]}, 1, {"cpus-per-gpu=14", "gres=gpu:1"}),
        ({"extra": "exclusive"}, 1, {"exclusive", "gres=gpu:1"}),
    ],
)
def test_a_gpu_run_takes_its_share_of_a_node(
    tmp_path: Path, options: dict[str, object], devices: int, asks: set[str]
) -> None:
    text = executor(tmp_path, **options).script(tmp_path / "o.json", 1, devices, 5)
    found = {line.removeprefix("#SBATCH --") for line in text.splitlines()}
    assert {line for line in found if line.startswith(("cpus", "gres", "exclusive"))} == asks


def test_gpu_runs_without_a_number_of_cores_are_refused_at_start(tmp_path: Path) -> None:
    campaign = Campaign(name="t", matrix=GPU_SUITE, executor=Placement(kind="slurm"))
    with pytest.raises(UserError, match="GPU runs on slurm need it") as refused:
        registry.get(campaign, tmp_path)
    assert "\n" not in str(refused.value)
    cpu = campaign.model_copy(update={"matrix": Matrix(suites=("laptop",), agents=("engine:vllm",))})
    assert registry.get(cpu, tmp_path).name == "slurm"
    enough = Placement(kind="slurm", options={"extra": ["cpus-per-gpu=14"]})
    assert registry.get(campaign.model_copy(update={"executor": enough}), tmp_path).name == "slurm"
