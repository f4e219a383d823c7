"""The Slurm executor without a Slurm: its script, and its commands by stand-ins. A real one is in tests/cluster."""

import subprocess
from pathlib import Path

import pytest

from inferencebench.campaign.executors import registry
from inferencebench.campaign.executors.batch import tasks_of
from inferencebench.campaign.executors.contract import Life, Order
from inferencebench.campaign.executors.slurm import FEW, SlurmExecutor
from inferencebench.campaign.model import Campaign, Matrix, Placement
from inferencebench.errors import InfrastructureError, UserError


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


def count_placed(folder: Path) -> list[int]:
    """Sizes of the arrays that were submitted, from the scripts that are left."""
    texts = [path.read_text() for path in (folder / "slurm").glob("*.sh")]
    return sorted(int(text.partition("array=0-")[2].split()[0]) + 1 for text in texts)


def test_arrays_are_as_large_as_slurm_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(tmp_path, monkeypatch, scontrol="echo 'MaxArraySize            = 4'")
    handles = executor(tmp_path / "slurm").place([order(tmp_path, f"t{n}") for n in range(10)])
    assert len(handles) == 10
    assert count_placed(tmp_path) == [2, 4, 4]
    assert [handles[f"t{n}"].partition(":")[0] for n in (0, 3, 4, 9)] == ["7_0", "7_3", "7_0", "7_1"]


REFUSES = """n=$(sed -n 's/.*array=0-//p' "$2"); if [ "$n" -ge {most} ]; then
echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1; fi; echo 9"""


def test_a_refused_array_is_halved_until_slurm_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(tmp_path, monkeypatch, sbatch=REFUSES.format(most=3))
    handles = executor(tmp_path / "slurm").place([order(tmp_path, f"t{n}") for n in range(10)])
    assert sorted(handles) == ["t0", "t1"], "of 10, 5 and 2: the rest is asked for later"
    assert count_placed(tmp_path) == [2], "of what was refused nothing is left"


def test_what_is_refused_whole_says_how_to_bound_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(tmp_path, monkeypatch, sbatch=REFUSES.format(most=0))
    with pytest.raises(InfrastructureError, match=r"QOSMaxSubmitJobPerUserLimit; see .*executor\.slots"):
        executor(tmp_path / "slurm").place([order(tmp_path, f"t{n}") for n in range(3)])


RESTARTING = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"


def test_a_controller_that_restarts_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also right after a baseline, when nothing is open: a refusal would end the driver."""
    commands(tmp_path, monkeypatch, sbatch=f"echo '{RESTARTING}' >&2; exit 1")
    it = executor(tmp_path / "slurm")
    with pytest.raises(OSError, match="Unable to contact slurm controller"):
        it.place([order(tmp_path, "a")])
    assert list((tmp_path / "slurm").iterdir()) == []
    (tmp_path / "bin" / "scontrol").write_text(f"#!/bin/sh\necho '{RESTARTING}' >&2; exit 1\n")
    with pytest.raises(OSError, match="scontrol: "):
        executor(tmp_path / "slurm").place([order(tmp_path, "a")])


def listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`squeue` lists the elements of every submitted array, one of another campaign, and a job that is no array."""
    show = (
        'for f in {0}/slurm/*.sh; do n=$(sed -n "s/.*job-name=//p" "$f"); '
        'for i in 0 1; do printf "%-40s%-80s\\n" "41_$i" "$n"; done; done; '
        'printf "%-40s%-80s\\n" 99_0 inferencebench-0123456789ab 98 inferencebench-mine'
    )
    (folder / "bin" / "squeue").write_text(f"#!/bin/sh\n{show.format(folder)}\n")


def test_jobs_that_nobody_wrote_down_are_found_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(tmp_path, monkeypatch, sbatch="echo 41")
    handles = executor(tmp_path / "slurm").place([order(tmp_path, "a"), order(tmp_path, "b")])
    listed(tmp_path, monkeypatch)
    it = executor(tmp_path / "slurm")
    assert it.lost({"new", "b"}) == {"b": handles["b"]}
    assert it.lost({"a", "b"}) == handles


def test_what_a_controller_took_without_an_answer_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(tmp_path, monkeypatch, sbatch="echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1")
    it = executor(tmp_path / "slurm")
    with pytest.raises(OSError, match="timed out"):
        it.place([order(tmp_path, "a"), order(tmp_path, "b")])
    listed(tmp_path, monkeypatch)
    (orders,) = (tmp_path / "slurm").glob("*.json")
    assert it.lost({"a", "b"}) == {"a": f"41_0:{orders}", "b": f"41_1:{orders}"}


def test_each_file_of_orders_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An array has thousands of elements, and its file megabytes."""
    commands(tmp_path, monkeypatch)
    it = executor(tmp_path / "slurm")
    handles = it.place([order(tmp_path, f"t{n}") for n in range(1000)])
    (orders,) = (tmp_path / "slurm").glob("*.json")
    queue = {f"7_{n}": f"inferencebench-{orders.stem}" for n in range(1000)}
    monkeypatch.setattr("inferencebench.campaign.executors.slurm.named", lambda prefix: queue)
    read = list[Path]()

    def reads(path: Path) -> list[str]:
        read.append(path)
        return tasks_of(path)

    monkeypatch.setattr("inferencebench.campaign.executors.slurm.tasks_of", reads)
    assert it.lost(handles.keys()) == handles
    assert read == [orders]


def test_a_rest_keeps_its_node_out_of_a_few_jobs_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is submitted leaves the node out also after its rest: the others of a matrix wait until that is over."""
    rows = 'for i in 0 1 2; do printf "%-40s%-24s%-60s%-60s%-12s%-12s\\n" 7_$i PENDING Resources "" 0 0; done'
    commands(tmp_path, monkeypatch, squeue=rows)
    it = executor(tmp_path / "slurm")
    it.avoid({"n1"})
    room = it.free()
    assert room == FEW
    handles = it.place([order(tmp_path, f"t{n}") for n in range(3)])
    (script,) = (tmp_path / "slurm").glob("*.sh")
    assert "#SBATCH --exclude=n1\n" in script.read_text()
    assert it.free() == FEW - 3
    assert {status.life for status in it.poll(list(handles.values())).values()} == {Life.QUEUED}
    assert it.free() == FEW - 3
    it.avoid(())
    assert it.free() is None
