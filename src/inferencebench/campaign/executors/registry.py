"""From an executor's name in a campaign file to the executor."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path

from inferencebench.campaign.executors.contract import Executor
from inferencebench.campaign.model import Campaign
from inferencebench.campaign.plan import plan
from inferencebench.doctor.gpu import scan_gpus
from inferencebench.errors import MissingError, UserError
from inferencebench.run.machine import visible_devices

GROUP = "inferencebench.executors"
LOCAL_OPTIONS = {"python"}


def local(campaign: Campaign, folder: Path) -> Executor:
    """This machine: the GPUs that are there and visible, where the campaign needs any, and CPU slots."""
    from inferencebench.campaign.executors.local import LocalExecutor

    _check_local(campaign)
    devices = {task.devices for task in plan(campaign).tasks}
    if not any(devices):
        return LocalExecutor(campaign.executor.slots)
    visible, count = visible_devices(), len(scan_gpus().gpus)
    gpus = [number for number in range(count) if visible is None or number in visible]
    return LocalExecutor(campaign.executor.slots, gpus, needs=max(devices), mixed=0 in devices)


def most_devices(campaign: Campaign) -> int:
    """GPUs that the widest run of a campaign takes."""
    return max(task.devices for task in plan(campaign).tasks)


def slurm(campaign: Campaign, folder: Path) -> Executor:
    """The cluster that `sbatch` here submits to."""
    from inferencebench.campaign.executors.slurm import SlurmExecutor

    return SlurmExecutor(campaign.executor, folder / "slurm", most_devices(campaign))


def ray(campaign: Campaign, folder: Path) -> Executor:
    """A Ray cluster, or one that is started here."""
    from inferencebench.campaign.executors.ray import RayExecutor

    return RayExecutor(campaign.executor, folder / "ray")


def htcondor(campaign: Campaign, folder: Path) -> Executor:
    """The pool that `condor_submit` here submits to."""
    from inferencebench.campaign.executors.htcondor import HTCondorExecutor

    return HTCondorExecutor(campaign.executor, folder / "htcondor")


BUILTIN: dict[str, Callable[[Campaign, Path], Executor]] = {
    "local": local,
    "slurm": slurm,
    "ray": ray,
    "htcondor": htcondor,
}


def check(campaign: Campaign) -> None:
    """Whether the campaign's executor is known and takes its options; needs neither a scheduler nor its library.

    Raises UserError if not."""
    if campaign.executor.kind == "local":
        _check_local(campaign)
        return
    with suppress(MissingError, ImportError):
        get(campaign, Path())


def _check_local(campaign: Campaign) -> None:
    if unknown := sorted(campaign.executor.options.keys() - LOCAL_OPTIONS):
        known = ", ".join(sorted(LOCAL_OPTIONS))
        raise UserError(f"executor.options.{unknown[0]}: not an option of local; known are {known}")
    python = campaign.executor.options.get("python")
    if python is not None and shutil.which(str(python)) is None:
        raise UserError(f"executor.options.python: {python!r} is no program of this machine; leave it out, or mend it")


def get(campaign: Campaign, folder: Path) -> Executor:
    """The campaign's executor; `folder`: the campaign's own, for scripts and orders.

    Raises UserError for an unknown name or bad options."""
    kind = campaign.executor.kind
    if kind in BUILTIN:
        return BUILTIN[kind](campaign, folder)
    declared = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind not in declared:
        raise UserError(f"executor.kind: {kind!r} is not known; give {', '.join(sorted({*BUILTIN, *declared}))}")
    executor: Executor = declared[kind].load()(campaign, folder)
    return executor
