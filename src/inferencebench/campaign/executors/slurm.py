"""`slurm`: job arrays by `sbatch`, one array element per run.

Options of the campaign file: `partition`, `account`, `qos`, `constraint`, `gres` (default `gpu:{devices}` for GPU
runs), `cpus`, `memory` (as in `--mem`), `setup` (lines of a login shell before the command, such as a module load),
`extra` (further sbatch options), `python` (the interpreter on the nodes). CPU runs take a whole node (`--exclusive`)
unless `cpus` is given; GPU runs need it. The job is told by SIGTERM a minute before its time limit; Slurm may requeue
it after a lost node, since the same command continues a run.
"""

import math
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from inferencebench.campaign.executors.batch import HANDED_ON, cpus_asked, exit_file, read_exit, submit
from inferencebench.campaign.executors.contract import Life, Order, Status
from inferencebench.campaign.model import Placement
from inferencebench.errors import InfrastructureError, UserError
from inferencebench.files import write_atomic
from inferencebench.sandbox.contract import Probe

COMMAND_S = 60.0
"""A scheduler under load answers late."""
WARNING_S = 60
QUEUED = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"}
HELD = {"REQUEUE_HOLD", "SPECIAL_EXIT"}
NEVER = ("launch failed", "PartitionTimeLimit", "BadConstraints", "InvalidAccount", "InvalidQOS")
"""Reasons for which a job stays queued until somebody changes it."""
CORES = ("cpus-per-", "exclusive", "mincpus", "cores-per-", "ntasks-per-")
"""What sbatch's options begin with that say how many cores a job gets."""
ITS_TURN = ("", "None", "Priority", "Resources")
OPTIONS = {"partition", "account", "qos", "constraint", "gres", "cpus", "memory", "setup", "extra", "python"}
COLUMNS = "JobArrayID:40,State:24,Reason:60,NodeList:60,exit_code:12,RestartCnt:12"
WIDTHS = (40, 24, 60, 60, 12, 12)


class _Job(NamedTuple):
    """A handle: `JOB_INDEX:ORDERS_FILE`."""

    id: str
    orders: Path

    @property
    def element(self) -> int:
        """Its place in the array and in the orders."""
        return int(self.id.partition("_")[2])


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
        extra = [str(option).removeprefix("--") for option in _list(placement.options.get("extra"))]
        if devices and self._cpus is None and not any(option.startswith(CORES) for option in extra):
            raise UserError(
                "executor.options.cpus: GPU runs on slurm need it: the cores of a GPU's share of a node, such as 16 "
                "(or extra = ['exclusive'] for whole nodes)"
            )
        self._folder = folder.absolute()
        self._avoided: tuple[str, ...] = ()

    def probe(self) -> Probe:
        """Whether a controller answers."""
        if shutil.which("sbatch") is None:
            return Probe(False, "sbatch is not on the PATH", "run on a login node, or install slurm-client")
        done = _slurm("sinfo", "--noheader", "--format=%D %P %t")
        if done.returncode:
            return Probe(
                False, f"sinfo: {_first(done.stderr)}", "ask `scontrol ping`; set SLURM_CONF if it is elsewhere"
            )
        return Probe(True, "; ".join(done.stdout.split("\n")[:3]).strip("; "))

    def free(self) -> None:
        """Slurm queues."""

    def avoid(self, places: Collection[str]) -> None:
        """Leave these nodes out of what is submitted from now on."""
        self._avoided = tuple(sorted(filter(None, places)))

    def place(self, orders: Sequence[Order]) -> dict[str, str]:
        """One array per size of request. Raises InfrastructureError, with sbatch's words, when it refuses."""
        groups: dict[tuple[int, int], list[Order]] = defaultdict(list)
        for order in orders:
            groups[order.devices, _minutes(order)].append(order)
        return submit(self._folder, groups.values(), self._submit, self._cpus)

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        """From `squeue`, and from the exit file of what Slurm has forgotten."""
        jobs = {handle: _job(handle) for handle in handles}
        rows = self._queue({job.id for job in jobs.values()})
        if never := [job.id for job in jobs.values() if job.id in rows and _starts_never(rows[job.id])]:
            done = _slurm("scancel", *never)
            if done.returncode:
                raise OSError(f"scancel: {_first(done.stderr)}")
        return {handle: _status(job, rows.get(job.id)) for handle, job in jobs.items()}

    def cancel(self, handles: Sequence[str]) -> None:
        """`scancel`: SIGTERM first, SIGKILL after the cluster's KillWait."""
        if ids := [_job(handle).id for handle in handles]:
            _slurm("scancel", "--full", *ids)

    def close(self) -> None:
        """Nothing is held: jobs go on without their driver."""

    def script(self, orders: Path, count: int, devices: int, minutes: int) -> str:
        """The batch script of an array of `count` orders."""
        directives = [
            "job-name=inferencebench",
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
        directives += [str(option).removeprefix("--") for option in _list(self._options.get("extra"))]
        setup = [*map(str, _list(self._options.get("setup")))]
        shell = "#!/bin/bash -l" if setup else "#!/bin/bash"  # a login shell knows `module`
        lines = [shell, *(f"#SBATCH --{directive}" for directive in directives)]
        lines += setup
        python = self._options.get("python", _interpreter())
        lines.append(f'exec "{python}" -m inferencebench.campaign.executors.batch "{orders}" "$SLURM_ARRAY_TASK_ID"')
        return "\n".join(lines) + "\n"

    def _submit(self, orders: Path, group: Sequence[Order]) -> list[str]:
        script = orders.with_suffix(".sh")
        write_atomic(script, self.script(orders, len(group), group[0].devices, _minutes(group[0])))
        done = _slurm("sbatch", "--parsable", str(script))
        if done.returncode:
            raise InfrastructureError(f"sbatch: {_first(done.stderr)}; see executor.options")
        job = done.stdout.strip().split(";")[0]
        return [f"{job}_{index}" for index in range(len(group))]

    def _queue(self, ids: set[str]) -> dict[str, list[str]]:
        """Columns of each job that Slurm still knows. Raises OSError when the controller does not answer."""
        if not ids:
            return {}
        arrays = sorted({job.partition("_")[0] for job in ids})
        done = _slurm(
            "squeue", "--noheader", "--array", "--states=all", f"--jobs={','.join(arrays)}", f"--Format={COLUMNS}"
        )
        if done.returncode and "Invalid job id" not in done.stderr:
            raise OSError(f"squeue: {_first(done.stderr)}")
        found = {}
        for line in done.stdout.split("\n"):
            cells, start = [], 0
            for width in WIDTHS:
                cells.append(line[start : start + width].strip())
                start += width
            found[cells[0]] = cells
        return found


def _minutes(order: Order) -> int:
    return math.ceil(order.time_limit_s / 60)


def _status(job: _Job, row: list[str] | None) -> Status:
    code = read_exit(exit_file(job.orders, job.element))
    if row is None:
        return Status(Life.ENDED, code, f"exit code {code}") if code is not None else Status(Life.LOST)
    _, state, reason, nodes, raw, count = row
    restarts = int(count) if count.isdigit() else 0
    if _starts_never(row):
        return Status(Life.ENDED, None, f"{state} ({reason})")
    if state in QUEUED:
        return Status(Life.QUEUED, reason="" if reason in ITS_TURN else reason, restarts=restarts)
    if state in RUNNING:
        return Status(Life.RUNNING, where=nodes, restarts=restarts)
    if state == "COMPLETED":
        code = 0
    elif state != "FAILED":
        code = None  # ended by Slurm: what the command said while it was killed does not count
    elif code is None and raw.isdigit():
        code = int(raw)
    detail = f", exit code {code}" if code is not None else ""
    why = "" if reason in ("None", "") else f" ({reason})"
    return Status(Life.ENDED, code, f"{state}{why}{detail}", nodes, restarts)


def _starts_never(row: Sequence[str]) -> bool:
    """Whether a queued job waits for somebody to change it; one that its user holds waits for the user."""
    state, reason = row[1], row[2].replace("_", " ")
    return state in HELD or (state in QUEUED and reason.startswith(NEVER))


def _job(handle: str) -> _Job:
    job, _, orders = handle.partition(":")
    return _Job(job, Path(orders))


def _slurm(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Slurm's. Raises OSError when it does not answer in time."""
    env = {name: value for name, value in os.environ.items() if name != "SBATCH_EXPORT"}  # it would beat the script's
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_S, check=False, env=env)
    except subprocess.TimeoutExpired:
        raise OSError(f"{argv[0]}: no answer in {COMMAND_S:.0f} s") from None


def _interpreter() -> str:
    import sys

    return sys.executable


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else [] if value is None else [value]


def _first(text: str) -> str:
    return next((line.strip() for line in text.split("\n") if line.strip()), "no message")
