"""The Slurm executor without a Slurm: its script, and its commands by stand-ins. A real one is in tests/cluster."""

import subprocess
from pathlib import Path

import pytest

from inferencebench.campaign.executors.contract import Order
from inferencebench.campaign.executors.slurm import SlurmExecutor
from inferencebench.campaign.model import Placement


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
