"""`htcondor`: one cluster of jobs per size of request, by `condor_submit`.

Options of the campaign file: `requirements`, `cpus`, `memory`, `disk` (as in `request_*`), `accounting_group`, `extra`
(further lines of the submit file), `python` (the interpreter on the nodes). The campaign directory must be on a file
system that all nodes see. HTCondor restarts an evicted job by itself; the submit file holds it instead, and a held job
is read as an infrastructure failure with its hold reason, and removed: the driver alone counts and repeats.
"""

import json
import math
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from inferencebench.campaign.executors.batch import (
    HANDED_ON,
    NoAnswer,
    command,
    cpus_asked,
    exit_file,
    read_end,
    submit,
)
from inferencebench.campaign.executors.contract import Life, Order, Status
from inferencebench.campaign.model import Placement
from inferencebench.errors import InfrastructureError, UserError
from inferencebench.files import write_atomic
from inferencebench.sandbox.contract import Probe

COMMAND_S = 60.0
OPTIONS = {"requirements", "cpus", "memory", "disk", "accounting_group", "extra", "python"}
LIVES = {
    1: Life.QUEUED,
    2: Life.RUNNING,
    3: Life.RUNNING,
    4: Life.ENDED,
    5: Life.ENDED,
    6: Life.RUNNING,
    7: Life.RUNNING,
}
"""HTCondor's JobStatus: idle, running, removed (it leaves the queue when it is gone), completed, held, transferring
output, suspended."""
HELD = 5
ATTRIBUTES = "ClusterId,ProcId,JobStatus,HoldReason,RemoteHost,ExitCode,NumJobStarts"
EVICTED = "evicted or its node was lost"


class _Job(NamedTuple):
    """A handle: `CLUSTER.PROC:ORDERS_FILE`; the process number is its place in the orders."""

    id: str
    orders: Path

    @property
    def element(self) -> int:
        """Its place in the orders."""
        return int(self.id.partition(".")[2])


class HTCondorExecutor:
    """Runs in the pool that `condor_submit` here submits to. `folder` takes submit files and orders."""

    name = "htcondor"
    detached = True

    def __init__(self, placement: Placement, folder: Path) -> None:
        """Raises UserError for an unknown option, and for a wrong one."""
        if unknown := sorted(placement.options.keys() - OPTIONS):
            raise UserError(
                f"executor.options.{unknown[0]}: not an option of htcondor; known are {', '.join(sorted(OPTIONS))}"
            )
        self._options: Mapping[str, str | int | float | bool | list[str]] = placement.options
        self._cpus = cpus_asked(placement.options)
        self._folder = folder.absolute()

    def probe(self) -> Probe:
        """Whether a scheduler answers."""
        if shutil.which("condor_submit") is None:
            return Probe(False, "condor_submit is not on the PATH", "run on a submit node, or install HTCondor")
        done = _condor("condor_q", "-totals")
        if done.returncode:
            return Probe(False, f"condor_q: {_first(done.stderr)}", "ask `condor_status -schedd`")
        return Probe(True, "a scheduler answers")

    def free(self) -> None:
        """HTCondor queues."""

    def place(self, orders: Sequence[Order]) -> dict[str, str]:
        """One cluster per size of request. Raises InfrastructureError, with condor_submit's words, when refused."""
        groups: dict[tuple[int, int], list[Order]] = defaultdict(list)
        for order in orders:
            groups[order.devices, math.ceil(order.time_limit_s)].append(order)
        return submit(self._folder, groups.values(), self._submit, self._cpus)

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        """From `condor_q`, and from the exit file of what left the queue. Held jobs are removed."""
        jobs = {handle: _job(handle) for handle in handles}
        ads = self._queue({job.id for job in jobs.values()})
        if held := [job.id for job in jobs.values() if ads.get(job.id, {}).get("JobStatus") == HELD]:
            _condor("condor_rm", *held)
        return {handle: status(job.orders, job.element, ads.get(job.id)) for handle, job in jobs.items()}

    def cancel(self, handles: Sequence[str]) -> None:
        """`condor_rm`: SIGTERM first, SIGKILL after the vacate time."""
        if ids := [_job(handle).id for handle in handles]:
            _condor("condor_rm", *ids)

    def close(self) -> None:
        """Nothing is held: jobs go on without their driver."""

    def submit_file(self, orders: Path, count: int, devices: int, limit_s: int) -> str:
        """The submit file of `count` orders."""
        python, *arguments = command(orders, "$(ProcId)", str(self._options.get("python", sys.executable)))
        lines = [
            "universe = vanilla",
            f"executable = {python}",
            f"arguments = {quoted(arguments)}",
            f"initialdir = {self._folder}",
            "transfer_executable = false",
            "should_transfer_files = NO",
            f"getenv = {','.join(HANDED_ON)}",
            f"log = {orders.with_suffix('.condor.log')}",
            f"output = {orders.with_suffix('')}.$(ProcId).out",
            f"error = {orders.with_suffix('')}.$(ProcId).err",
            "kill_sig = SIGTERM",
            "job_max_vacate_time = 60",
            f"allowed_execute_duration = {limit_s}",
            "periodic_hold = JobStatus == 1 && NumJobStarts > 0",
            f'periodic_hold_reason = "{EVICTED}"',
            "on_exit_remove = true",
            f"request_cpus = {self._options.get('cpus', 1)}",
        ]
        if devices:
            lines.append(f"request_gpus = {devices}")
        lines += [f"request_{n} = {self._options[n]}" for n in ("memory", "disk") if n in self._options]
        lines += [f"{n} = {self._options[n]}" for n in ("requirements", "accounting_group") if n in self._options]
        extra = self._options.get("extra", [])
        lines += extra if isinstance(extra, list) else [str(extra)]
        return "\n".join([*lines, f"queue {count}"]) + "\n"

    def _submit(self, orders: Path, group: Sequence[Order]) -> list[str]:
        file = orders.with_suffix(".sub")
        limit_s = math.ceil(group[0].time_limit_s)
        write_atomic(file, self.submit_file(orders, len(group), group[0].devices, limit_s))
        done = _condor("condor_submit", "-terse", str(file))
        cluster = done.stdout.strip().partition(".")[0]
        if done.returncode or not cluster.isdigit():
            raise InfrastructureError(f"condor_submit: {_first(done.stderr)}; see executor.options")
        return [f"{cluster}.{index}" for index in range(len(group))]

    def _queue(self, ids: set[str]) -> dict[str, dict[str, Any]]:
        """Job ads that the scheduler still has. Raises OSError when it does not answer."""
        if not ids:
            return {}
        clusters = sorted({job.partition(".")[0] for job in ids})
        done = _condor("condor_q", "-json", "-attributes", ATTRIBUTES, *clusters)
        if done.returncode:
            raise OSError(f"condor_q: {_first(done.stderr)}")
        try:
            ads = json.loads(done.stdout or "[]")
            return {f"{ad['ClusterId']}.{ad['ProcId']}": ad for ad in ads}
        except (ValueError, LookupError, TypeError) as error:
            raise OSError(f"condor_q: not a list of job ads: {error}") from None


def status(orders: Path, element: int, ad: Mapping[str, Any] | None) -> Status:
    """What a job ad and the wrapper's exit file say; `ad` is None for a job that left the queue."""
    end = read_end(exit_file(orders, element))
    if ad is None:
        return Status(Life.ENDED, end.exit_code, end.reason) if end else Status(Life.LOST)
    number = ad.get("JobStatus")
    life = LIVES.get(number if isinstance(number, int) else 0, Life.QUEUED)
    where, starts = str(ad.get("RemoteHost", "")), ad.get("NumJobStarts")
    restarts = max(0, starts - 1) if isinstance(starts, int) else 0
    if number == HELD:
        return Status(life, None, f"HELD ({ad.get('HoldReason', 'no reason')})", where, restarts)
    if life is not Life.ENDED:
        return Status(life, where=where, restarts=restarts)
    code = end.exit_code if end else ad.get("ExitCode")
    return Status(life, code if isinstance(code, int) else None, f"exit code {code}", where, restarts)


def quoted(arguments: Sequence[str]) -> str:
    """HTCondor's `arguments`: the whole in double quotes, each in single quotes, both doubled inside."""
    inner = " ".join("'" + a.replace("'", "''").replace('"', '""') + "'" for a in arguments)
    return f'"{inner}"'


def _job(handle: str) -> _Job:
    job, _, orders = handle.partition(":")
    return _Job(job, Path(orders))


def _condor(*argv: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{argv[0]}: no answer in {COMMAND_S:.0f} s") from None


def _first(text: str) -> str:
    return next((line.strip() for line in text.split("\n") if line.strip()), "no message")
