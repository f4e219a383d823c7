"""`htcondor`: one cluster of jobs per size of request, by `condor_submit`.

Options of the campaign file: `requirements`, `cpus`, `memory`, `disk` (as in `request_*`), `accounting_group`, `extra`
(further lines of the submit file), `python` (the interpreter on the nodes). The campaign directory must be on a file
system that all nodes see. HTCondor would begin an evicted job again by itself; the submit file's requirements let no
job begin twice. What was evicted or held is read as an infrastructure failure with its reason, and removed: the driver
alone counts and repeats. The wrapper keeps the time limit: HTCondor looks at it minutes later, and kills.
"""

import json
import math
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from inferencebench.campaign.executors.batch import (
    GRACE_S,
    HANDED_ON,
    NoAnswer,
    command,
    cpus_asked,
    exit_file,
    read_end,
    submit,
    tasks_of,
)
from inferencebench.campaign.executors.contract import Life, Order, Status
from inferencebench.campaign.model import Placement
from inferencebench.errors import InfrastructureError, UserError
from inferencebench.files import write_atomic
from inferencebench.sandbox.contract import Probe

COMMAND_S = 60.0
MESSAGE = 240
"""Characters of a command's own words."""
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
IDLE, HELD = 1, 5
ORDERS = "InferenceBenchOrders"
"""The job attribute that names its file of orders."""
ATTRIBUTES = f"ClusterId,ProcId,JobStatus,HoldReason,RemoteHost,ExitCode,NumShadowStarts,{ORDERS}"
ONCE = "(MY.NumShadowStarts =?= undefined || MY.NumShadowStarts == 0)"
"""HTCondor counts the starts it tried; those of the job itself (NumJobStarts) it writes down minutes later."""
AWAY = ("Failed to connect", "Can't find address", "communication error")
"""What the commands say of a queue that is away: nothing was taken."""
EVICTED = "evicted, or its node was lost"


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
            return Probe(False, f"condor_q: {_said(done.stderr)}", "ask `condor_status -schedd`")
        return Probe(True, "a scheduler answers")

    def free(self) -> None:
        """HTCondor queues."""

    def place(self, orders: Sequence[Order]) -> dict[str, str]:
        """One cluster per size of request. Raises InfrastructureError, with condor_submit's words, when refused."""
        groups: dict[tuple[int, int], list[Order]] = defaultdict(list)
        for order in orders:
            groups[order.devices, math.ceil(order.time_limit_s)].append(order)
        return submit(self._folder, groups.values(), self._submit, self._cpus, keep_limits=True)

    def lost(self, tasks: Collection[str]) -> dict[str, str]:
        """By the file of orders that each of the user's jobs names; each file is read once."""
        orders: dict[Path, list[str]] = {}
        found = {}
        for id_, ad in _ads("-constraint", f"{ORDERS} =!= undefined").items():
            job = _Job(id_, Path(str(ad[ORDERS])))
            if job.orders.parent != self._folder or LIVES.get(ad["JobStatus"]) is Life.ENDED:
                continue
            if job.orders not in orders:
                orders[job.orders] = tasks_of(job.orders)
            task = next(iter(orders[job.orders][job.element :]), None)
            if task in tasks:
                found[str(task)] = f"{job.id}:{job.orders}"
        return found

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        """From `condor_q`, and from the exit file of what left the queue. Held and evicted jobs are removed."""
        jobs = {handle: _job(handle) for handle in handles}
        clusters = sorted({job.id.partition(".")[0] for job in jobs.values()})
        ads = _ads(*clusters) if clusters else {}
        if stuck := [job.id for job in jobs.values() if _stuck(ads.get(job.id, {}))]:
            _condor("condor_rm", *stuck)
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
            f"allowed_execute_duration = {limit_s + 2 * math.ceil(GRACE_S)}",
            "on_exit_remove = true",
            f"requirements = {ONCE} && ({self._options.get('requirements', 'true')})",
            f'My.{ORDERS} = "{quoted_string(str(orders))}"',
            f"request_cpus = {self._options.get('cpus', 1)}",
        ]
        if devices:
            lines.append(f"request_gpus = {devices}")
        lines += [f"request_{n} = {self._options[n]}" for n in ("memory", "disk") if n in self._options]
        if "accounting_group" in self._options:
            lines.append(f"accounting_group = {self._options['accounting_group']}")
        extra = self._options.get("extra", [])
        lines += extra if isinstance(extra, list) else [str(extra)]
        return "\n".join([*lines, f"queue {count}"]) + "\n"

    def _submit(self, orders: Path, group: Sequence[Order]) -> list[str]:
        file = orders.with_suffix(".sub")
        limit_s = math.ceil(group[0].time_limit_s)
        write_atomic(file, self.submit_file(orders, len(group), group[0].devices, limit_s))
        done = _condor("condor_submit", "-terse", str(file))
        cluster = done.stdout.strip().partition(".")[0]
        if any(word in done.stderr for word in AWAY):
            raise OSError(f"condor_submit: {_said(done.stderr)}")
        if done.returncode or not cluster.isdigit():
            raise InfrastructureError(f"condor_submit: {_said(done.stderr)}; see executor.options")
        return [f"{cluster}.{index}" for index in range(len(group))]


def _ads(*which: str) -> dict[str, dict[str, Any]]:
    """Job ads that the scheduler still has, by job. Raises OSError when it does not answer."""
    done = _condor("condor_q", "-json", "-attributes", ATTRIBUTES, *which)
    if done.returncode:
        raise OSError(f"condor_q: {_said(done.stderr)}")
    try:
        ads = json.loads(done.stdout or "[]")
        return {f"{ad['ClusterId']}.{ad['ProcId']}": ad for ad in ads}
    except (ValueError, LookupError, TypeError) as error:
        raise OSError(f"condor_q: not a list of job ads: {error}") from None


def _stuck(ad: Mapping[str, Any]) -> bool:
    """Whether HTCondor keeps a job that it will not begin (again)."""
    return ad.get("JobStatus") == HELD or (ad.get("JobStatus") == IDLE and bool(ad.get("NumShadowStarts")))


def status(orders: Path, element: int, ad: Mapping[str, Any] | None) -> Status:
    """What a job ad and the wrapper's exit file say; `ad` is None for a job that left the queue."""
    end = read_end(exit_file(orders, element))
    if ad is None:
        return Status(Life.ENDED, end.exit_code, end.reason, ran_s=end.ran_s) if end else Status(Life.LOST)
    number, where, starts = ad.get("JobStatus"), str(ad.get("RemoteHost", "")), ad.get("NumShadowStarts")
    life = LIVES.get(number if isinstance(number, int) else 0, Life.QUEUED)
    restarts = max(0, starts - 1) if isinstance(starts, int) else 0
    if _stuck(ad):
        reason = f"HELD ({ad.get('HoldReason', 'no reason')})" if number == HELD else f"EVICTED ({EVICTED})"
        return Status(Life.ENDED, None, reason, where, restarts)
    if life is not Life.ENDED:
        return Status(life, where=where, restarts=restarts)
    if end:
        return Status(life, end.exit_code, end.reason, where, restarts, end.ran_s)
    code = ad.get("ExitCode")
    return Status(life, code if isinstance(code, int) else None, f"exit code {code}", where, restarts)


def quoted(arguments: Sequence[str]) -> str:
    """HTCondor's `arguments`: the whole in double quotes, each in single quotes, both doubled inside."""
    inner = " ".join("'" + a.replace("'", "''").replace('"', '""') + "'" for a in arguments)
    return f'"{inner}"'


def quoted_string(text: str) -> str:
    """The inside of a string of HTCondor's expressions."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _job(handle: str) -> _Job:
    job, _, orders = handle.partition(":")
    return _Job(job, Path(orders))


def _condor(*argv: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{argv[0]}: no answer in {COMMAND_S:.0f} s") from None


def _said(text: str) -> str:
    """What a command said, in one line."""
    return " ".join(text.split())[:MESSAGE] or "no message"
