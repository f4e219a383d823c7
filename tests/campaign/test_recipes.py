"""The recipes of docs/recipes: their files are what we and their programs read, and agree with each other."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferencebench.campaign.check import checked
from inferencebench.campaign.executors import registry
from inferencebench.campaign.executors.slurm import SlurmExecutor
from inferencebench.campaign.model import Campaign, load
from inferencebench.engines import registry as engines
from inferencebench.engines.packaged import PackagedEngine
from inferencebench.run.spec import BASELINE_AGENT
from inferencebench.suites import load as suites

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
CAMPAIGNS = sorted(RECIPES.glob("*/campaign.toml"))
SHELL = sorted(path for path in RECIPES.glob("*/*") if path.read_bytes().startswith(b"#!/bin/bash"))
KUBERNETES = list(yaml.safe_load_all((RECIPES / "ray-kubernetes" / "raycluster.yaml").read_text()))


@pytest.mark.parametrize("path", CAMPAIGNS, ids=lambda path: path.parent.name)
def test_campaigns_are_planned_and_their_executors_take_their_options(path: Path, tmp_path: Path) -> None:
    found = checked(path)
    assert len(found.tasks) > 12
    assert found.device_hours > 10
    assert registry.get(found.campaign, tmp_path).name == found.campaign.executor.kind


INSTALLS = {
    "slurm-apptainer": "slurm-apptainer/inferencebench.def",
    "ray-kubernetes": "ray-kubernetes/Dockerfile",
    "eight-gpus": "README.md",
    "cloud-vm": "cloud-vm/setup.sh",
}
"""Where each recipe says what is installed on what its runs work on."""
BESIDE = {"claude-code": {"npm"}, "search": {"search"}}
"""What a kind of agent needs beside its engines."""


def needed(campaign: Campaign) -> set[str]:
    """Extras of ours, distributions and programs that a campaign's runs need."""
    found = {"ray"} if campaign.executor.kind == "ray" else set()
    for name in campaign.matrix.suites:
        suite = suites.load(name)
        found |= {"hub"} if suite.model.source.kind == "hub" else set()
        found |= {"nvidia"} if suite.hardware.kind == "cuda" else set()
    for agent in (BASELINE_AGENT, *campaign.matrix.agents):
        kind, _, rest = agent.partition(":")
        found |= BESIDE.get(kind, set())
        names = {"engine": rest, "search": rest.partition("engine=")[2].partition("&")[0]}.get(kind, "")
        for engine in filter(None, names.split(",")):
            it = engines.get(engine)
            assert isinstance(it, PackagedEngine)
            found |= {it.extra} if it.extra else set(it.distributions)
    return found


def installed(recipe: str) -> set[str]:
    """The words of a recipe's lines of apt and pip: extras of ours, distributions without version, programs."""
    text = (RECIPES / INSTALLS[recipe]).read_text()
    if recipe == "eight-gpus":
        text = text.partition("## One host with eight GPUs")[2].partition("## ")[0]
    lines = [line for line in text.splitlines() if re.search(r"(apt-get|pip) install ", line)]
    assert lines, recipe
    return {word for line in lines for word in re.findall(r"[\w-]+(?:\.[\w-]+)*", line.replace("==", " =="))}


@pytest.mark.parametrize("recipe", sorted(INSTALLS))
def test_what_a_campaign_names_is_installed(recipe: str) -> None:
    wanted = needed(load(RECIPES / recipe / "campaign.toml"))
    assert {"torch", "hub", "nvidia", "vllm"} <= wanted
    assert wanted - installed(recipe) == set()
    assert "sglang" not in wanted, "it and vLLM pin different versions of torch: one environment cannot have both"


def test_the_image_has_the_cluster_s_ray() -> None:
    text = (RECIPES / "ray-kubernetes" / "Dockerfile").read_text()
    assert f"'ray[default]=={KUBERNETES[1]['spec']['rayVersion']}' " in text


def test_pods_have_cores_of_their_own() -> None:
    """The kubelet's static manager gives whole CPUs only to pods that request what they are limited to."""
    (worker,) = KUBERNETES[1]["spec"]["workerGroupSpecs"]
    resources = worker["template"]["spec"]["containers"][0]["resources"]
    assert resources["requests"] == resources["limits"]
    assert resources["limits"]["cpu"].isdigit()
    for name in ("ray-kubernetes/raycluster.yaml", "README.md"):
        assert "cpuManagerPolicy: static" in (RECIPES / name).read_text()


def test_keys_come_from_the_node(tmp_path: Path) -> None:
    """Slurm hands none on: the lines before the command read a file of the node's."""
    (tmp_path / ".inferencebench.env").write_text("ANTHROPIC_API_KEY=sk-test\n")
    setup = load(RECIPES / "slurm-apptainer" / "campaign.toml").executor.options["setup"]
    assert isinstance(setup, list)
    text = "\n".join([*(line for line in setup if not line.startswith("module ")), "env"])
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", text], env=env, capture_output=True, text=True, check=True)
    assert "ANTHROPIC_API_KEY=sk-test" in done.stdout.splitlines()


def test_every_recipe_is_in_the_page_and_the_other_way_round() -> None:
    page = (RECIPES / "README.md").read_text()
    folders = {path.name for path in RECIPES.iterdir() if path.is_dir()}
    assert folders == {"slurm-apptainer", "ray-kubernetes", "eight-gpus", "cloud-vm"}
    assert all(f"]({name}/)" in page for name in folders)


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_shell_is_sound(path: Path) -> None:
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", str(path)], check=True)
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_the_slurm_script_of_the_recipe(tmp_path: Path) -> None:
    campaign = load(RECIPES / "slurm-apptainer" / "campaign.toml")
    executor = registry.get(campaign, tmp_path)
    assert isinstance(executor, SlurmExecutor)
    script = tmp_path / "job.sh"
    script.write_text(executor.script(tmp_path / "orders.json", 3, 1, 240))
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    for line in ("gres=gpu:h100:1", "constraint=h100", "requeue", "signal=B:TERM@60", "time=240"):
        assert f"#SBATCH --{line}\n" in text
    assert 'exec "/shared/ib-python" -m inferencebench' in text


def test_the_interpreter_enters_the_image_once(tmp_path: Path) -> None:
    interpreter = RECIPES / "slurm-apptainer" / "ib-python"
    for name, text in (("apptainer", 'printf "%s\\n" apptainer "$@"'), ("python3", 'printf "%s\\n" python3 "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    argv = [str(interpreter), "-m", "x", "a b"]
    outside = subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout.splitlines()
    assert outside[:2] == ["apptainer", "exec"]
    assert outside[-5:] == ["/shared/inferencebench.sif", "python3", "-m", "x", "a b"]
    inside = {**env, "APPTAINER_CONTAINER": "/shared/inferencebench.sif"}
    found = subprocess.run(argv, env=inside, capture_output=True, text=True, check=True).stdout.splitlines()
    assert found == ["python3", "-m", "x", "a b"]


def _groups() -> list[dict[str, Any]]:
    spec = KUBERNETES[1]["spec"]
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def test_the_ray_cluster_gives_a_run_what_the_campaign_asks_for() -> None:
    claim, cluster = KUBERNETES
    campaign = load(RECIPES / "ray-kubernetes" / "campaign.toml")
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    locked = (RECIPES.parents[1] / "constraints.txt").read_text()
    assert f"ray=={cluster['spec']['rayVersion']}\n" in locked
    for group in _groups():
        (container,) = group["template"]["spec"]["containers"]
        (volume,) = group["template"]["spec"]["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/shared"}
        assert {"name": "INFERENCEBENCH_CACHE", "value": "/shared/cache"} in container["env"]
    (worker,) = cluster["spec"]["workerGroupSpecs"]
    limits = worker["template"]["spec"]["containers"][0]["resources"]["limits"]
    asked = worker["rayStartParams"]
    assert (asked["num-gpus"], asked["num-cpus"]) == (limits["nvidia.com/gpu"], limits["cpu"])
    assert float(str(campaign.executor.options["cpus"])) <= float(asked["num-cpus"])
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_pods_and_volumes_are_what_kubernetes_takes() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    validate.validate(KUBERNETES[0], validate.latest_version(), strict=True)
    for group in _groups():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, **group["template"]}
        validate.validate(pod, validate.latest_version(), strict=True)


def test_the_machine_s_services_are_what_systemd_takes(tmp_path: Path) -> None:
    """The set-up script with stand-ins for what it installs; its units by systemd's own check where there is one."""
    (tmp_path / "bin").mkdir()
    calls = tmp_path / "calls"
    for name in ("apt-get", "systemctl"):
        stand_in = tmp_path / "bin" / name
        stand_in.write_text(f'#!/bin/sh\necho "{name} $*" >> {calls}\n')
        stand_in.chmod(0o755)
    for name in (".venv/bin/pip", ".venv/bin/inferencebench"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {calls}\n')
        (tmp_path / name).chmod(0o755)
    (tmp_path / "units").mkdir()
    env = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "UNITS": str(tmp_path / "units")}
    argv = [str(RECIPES / "cloud-vm" / "setup.sh"), "campaign.toml", "runs", "s3://bucket/x"]
    subprocess.run(argv, cwd=tmp_path, env=env, check=True)
    said = calls.read_text()
    assert "inferencebench campaign plan" in said
    assert said.strip().endswith("systemctl enable --now inferencebench.service inferencebench-sync.timer")
    units = sorted((tmp_path / "units").iterdir())
    assert len(units) == 3
    assert f"campaign run {tmp_path}/campaign.toml --out {tmp_path}/runs" in units[-1].read_text()
    if shutil.which("systemd-analyze"):
        checked = ["systemd-analyze", "verify", "--man=no", *map(str, units)]
        done = subprocess.run(checked, capture_output=True, text=True, check=False)
        assert not [line for line in done.stderr.splitlines() if "inferencebench" in line], done.stderr
    assert subprocess.run([*argv[:2]], cwd=tmp_path, env=env, check=False).returncode == 2
