"""`slurm`: job arrays by `sbatch`, one array element per run.

Options of the campaign file: `partition`, `account`, `qos`, `constraint`, `gres` (default `gpu:{devices}` for GPU
runs), `cpus`, `memory` (as in `--mem`), `setup` (lines of a login shell before the command, such as a module load),
`extra` (further sbatch options), `python` (the interpreter on the nodes). CPU runs take a whole node (`--exclusive`)
unless `cpus` is given; GPU runs need it. The job is told by SIGTERM a minute before its time limit; Slurm may requeue
it after a lost node, since the same command continues a run.
"""

import math
import shutil
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path

from inferencebench.campaign.executors.batch import HANDED_ON, NoAnswer, cpus_asked, submit, tasks_of
from inferencebench.campaign.executors.contract import Life, Order, Status
from inferencebench.campaign.executors.slurm_queue import (
    array_limit,
    ask,
    checked,
    first_line,
    job_of,
    known,
    named,
    starts_never,
    status,
)
from inferencebench.campaign.model import Placement
from inferencebench.errors import InfrastructureError, UserError
from inferencebench.files import write_atomic
from inferencebench.sandbox.contract import Probe

WARNING_S = 60
NAME = "inferencebench-"
"""Of jobs, before the stem of their file of orders."""
FEW = 8
"""Jobs that wait at a time while a node rests: what is submitted meanwhile leaves it out until it starts elsewhere."""
CORES = ("cpus-per-", "exclusive", "mincpus")
"""What sbatch's options begin with that say how many cores a job gets."""
OPTIONS = {"partition", "account", "qos", "constraint", "gres", "cpus", "memory", "setup", "extra", "python"}


class SlurmExecutor:
    """Runs on the cluster that `sbatch` here submits to. `folder` takes scripts and orders; all nodes must see it."""

    name = "slurm"
    detached = True

    def __init__(self, placement: Placement, folder: Path, devices: int = 0) -> None:
        """`devices`: GPUs of the campaign's widest run. Raises UserError for an unknown option, for a wrong one, and
        for GPU runs whose cores nobody states: with the whole node's, the other GPUs would lie idle."""
        if unknown := sorted(placement.options.keys() - OPTIONS):
            raise UserError(
                f"executor.options.{unknown[0]}: not an option of slurm; known are {', '.join(sorted(OPTIONS))}"
            )
        self._options: Mapping[str, str | int | float | bool | list[str]] = placement.options
        self._cpus = cpus_asked(placement.options)
        stated = self._cpus is not None or any(option.startswith(CORES) for option in self._extra())
        if devices and not stated:
            raise UserError(
                "executor.options.cpus: GPU runs on slurm need it: the cores of a GPU's share of a node, such as 16 "
                "(or extra = ['exclusive'] for whole nodes)"
            )
        self._folder = folder.absolute()
        self._limit = 0
        """Elements of an array at most, once Slurm said it."""
        self._avoided: tuple[str, ...] = ()
        self._waiting = 0
        """Placements that had not begun at the newest poll, and what was placed since."""

    def probe(self) -> Probe:
        """Whether a controller answers."""
        if shutil.which("sbatch") is None:
            return Probe(False, "sbatch is not on the PATH", "run on a login node, or install slurm-client")
        remedy = "ask `scontrol ping`; set SLURM_CONF if it is elsewhere"
        try:
            done = ask("sinfo", "--noheader", "--format=%D %P %t")
        except NoAnswer as error:
            return Probe(False, str(error), remedy)
        if done.returncode:
            return Probe(False, f"sinfo: {first_line(done.stderr)}", remedy)
        return Probe(True, "; ".join(done.stdout.split("\n")[:3]).strip("; "))

    def free(self) -> int | None:
        """Slurm queues, but while a node rests only a few: the others may start there when it is fit again."""
        return max(0, FEW - self._waiting) if self._avoided else None

    def avoid(self, places: Collection[str]) -> None:
        """Leave these nodes out of what is submitted from now on."""
        self._avoided = tuple(sorted(filter(None, places)))

    def place(self, orders: Sequence[Order]) -> dict[str, str]:
        """Arrays of one size of request each, as large as Slurm takes them. Raises InfrastructureError, with sbatch's
        words, when it refuses, and OSError when the controller is away: NoAnswer when it may have taken them, which
        `lost` finds."""
        groups: dict[tuple[int, int], list[Order]] = defaultdict(list)
        for order in orders:
            groups[order.devices, _minutes(order)].append(order)
        most = self._limit = self._limit or array_limit()
        arrays = [group[n : n + most] for group in groups.values() for n in range(0, len(group), most)]
        handles = submit(self._folder, arrays, self._submit, self._cpus)
        self._waiting += len(handles)
        return handles

    def lost(self, tasks: Collection[str]) -> dict[str, str]:
        """By the names of the jobs in the queue, which say whose file of orders they are; each file is read once."""
        tasks_in = cache(tasks_of)
        found = {}
        for job, name in named(NAME).items():
            path = self._folder / f"{name.removeprefix(NAME)}.json"
            handle = f"{job}:{path}"
            task = next(iter(tasks_in(path)[job_of(handle).element :]), None)
            if task in tasks:
                found[str(task)] = handle
        return found

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        """From `squeue`, and from the exit file of what Slurm has forgotten."""
        jobs = {handle: job_of(handle) for handle in handles}
        rows = known(job.id for job in jobs.values())
        if never := [job.id for job in jobs.values() if job.id in rows and starts_never(rows[job.id])]:
            done = ask("scancel", *never)
            if done.returncode:
                raise OSError(f"scancel: {first_line(done.stderr)}")
        found = {handle: status(job, rows.get(job.id)) for handle, job in jobs.items()}
        self._waiting = sum(one.life is Life.QUEUED for one in found.values())
        return found

    def cancel(self, handles: Sequence[str]) -> None:
        """`scancel`: SIGTERM first, SIGKILL after the cluster's KillWait."""
        if ids := [job_of(handle).id for handle in handles]:
            ask("scancel", "--full", *ids)

    def close(self) -> None:
        """Nothing is held: jobs go on without their driver."""

    def script(self, orders: Path, count: int, devices: int, minutes: int) -> str:
        """The batch script of an array of `count` orders."""
        directives = [
            f"job-name={NAME}{orders.stem}",
            f"export={','.join(HANDED_ON)}",
            f"array=0-{count - 1}",
            "ntasks=1",
            f"time={minutes}",
            f"signal=B:TERM@{WARNING_S}",
            "requeue",
            "open-mode=append",
            f"output={orders.with_suffix('.%a.slurm.log')}",
        ]
        for name in ("partition", "account", "qos", "constraint"):
            if name in self._options:
                directives.append(f"{name}={self._options[name]}")
        gres = str(self._options.get("gres", "gpu:{devices}" if devices else ""))
        if gres:
            directives.append(f"gres={gres.format(devices=devices)}")
        if "cpus" in self._options:
            directives.append(f"cpus-per-task={self._options['cpus']}")
        elif not devices:
            directives.append("exclusive")
        if "memory" in self._options:
            directives.append(f"mem={self._options['memory']}")
        if self._avoided:
            directives.append(f"exclude={','.join(self._avoided)}")
        directives += self._extra()
        setup = [*map(str, _list(self._options.get("setup")))]
        shell = "#!/bin/bash -l" if setup else "#!/bin/bash"  # a login shell knows `module`
        lines = [shell, *(f"#SBATCH --{directive}" for directive in directives)]
        lines += setup
        python = self._options.get("python", sys.executable)
        lines.append(f'exec "{python}" -m inferencebench.campaign.executors.batch "{orders}" "$SLURM_ARRAY_TASK_ID"')
        return "\n".join(lines) + "\n"

    def _extra(self) -> list[str]:
        """Further options of sbatch, without their dashes."""
        return [str(option).removeprefix("--") for option in _list(self._options.get("extra"))]

    def _submit(self, orders: Path, group: Sequence[Order]) -> list[str]:
        script = orders.with_suffix(".sh")
        write_atomic(script, self.script(orders, len(group), group[0].devices, _minutes(group[0])))
        checked(done := ask("sbatch", "--parsable", str(script)))
        if done.returncode:
            raise InfrastructureError(
                f"sbatch: {first_line(done.stderr)}; see executor.options, and executor.slots for limits on jobs"
            )
        job = done.stdout.strip().split(";")[0]
        return [f"{job}_{index}" for index in range(len(group))]


def _minutes(order: Order) -> int:
    return math.ceil(order.time_limit_s / 60)


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else [] if value is None else [value]
