"""What Slurm's commands say: which jobs it knows, and what their states mean."""

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from inferencebench.campaign.executors.batch import NoAnswer, exit_file, read_end
from inferencebench.campaign.executors.contract import Life, Status

COMMAND_S = 60.0
"""A scheduler under load answers late."""
QUEUED = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"}
HELD = {"REQUEUE_HOLD", "SPECIAL_EXIT"}
NEVER = ("launch failed", "PartitionTimeLimit", "BadConstraints", "InvalidAccount", "InvalidQOS")
"""Reasons for which a job stays queued until somebody changes it."""
ITS_TURN = ("", "None", "Priority", "Resources")
COLUMNS = "JobArrayID:40,State:24,Reason:60,NodeList:60,exit_code:12,RestartCnt:12"
ARRAY_LIMIT = 1001
"""Slurm's own MaxArraySize."""
UNREACHED = ("unable to contact", "connect failure", "connection refused", "standby mode")
"""In messages of a controller that is away, as while it restarts."""
UNSURE = ("timed out", "zero bytes", "not connected")
"""In messages of one that may have heard what it was told."""


class Job(NamedTuple):
    """A handle: `JOB_INDEX:ORDERS_FILE`."""

    id: str
    orders: Path

    @property
    def element(self) -> int:
        """Its place in the array and in the orders."""
        return int(self.id.partition("_")[2])


def status(job: Job, row: list[str] | None) -> Status:
    """What became of a job. `row`: its cells of `COLUMNS`; None: Slurm has forgotten it."""
    end = read_end(exit_file(job.orders, job.element))
    code, ran_s = (end.exit_code, end.ran_s) if end else (None, None)
    if row is None:
        life, said = (Life.LOST, "") if code is None else (Life.ENDED, f"exit code {code}")
        return Status(life, code, said, ran_s=ran_s)
    _, state, reason, nodes, raw, count = row
    restarts = int(count) if count.isdigit() else 0
    if starts_never(row):
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
    return Status(Life.ENDED, code, f"{state}{why}{detail}", nodes, restarts, ran_s)


def starts_never(row: Sequence[str]) -> bool:
    """Whether a queued job waits for somebody to change it; one that its user holds waits for the user."""
    state, reason = row[1], row[2].replace("_", " ")
    return state in HELD or (state in QUEUED and reason.startswith(NEVER))


def job_of(handle: str) -> Job:
    """The job that a handle names."""
    job, _, orders = handle.partition(":")
    return Job(job, Path(orders))


def ask(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Slurm's. Raises NoAnswer when it does not answer in time."""
    env = {name: value for name, value in os.environ.items() if name != "SBATCH_EXPORT"}  # it would beat the script's
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_S, check=False, env=env)
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{argv[0]}: no answer in {COMMAND_S:.0f} s") from None


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.split("\n") if line.strip()), "no message")


def checked(done: subprocess.CompletedProcess[str]) -> None:
    """Raises OSError when the controller was away, NoAnswer when it may have done what it was told."""
    said = f"{done.args[0]}: {first_line(done.stderr)}"
    if done.returncode and any(words in done.stderr.lower() for words in UNREACHED):
        raise OSError(said)
    if done.returncode and any(words in done.stderr.lower() for words in UNSURE):
        raise NoAnswer(said)


def known(ids: Iterable[str]) -> dict[str, list[str]]:
    """Columns of each of these jobs that Slurm still knows. Raises OSError when the controller does not answer."""
    arrays = sorted({job.partition("_")[0] for job in ids})
    return _squeue(COLUMNS, "--states=all", f"--jobs={','.join(arrays)}") if arrays else {}


def named(prefix: str) -> dict[str, str]:
    """Names by id of this user's elements of arrays that wait or run and whose name begins so. Raises OSError as
    above."""
    rows = _squeue("JobArrayID:40,Name:80", f"--user={os.geteuid()}", "--states=PENDING,CONFIGURING,RUNNING,REQUEUED")
    return {job: name for job, name in rows.values() if name.startswith(prefix) and "_" in job}


def _squeue(columns: str, *which: str) -> dict[str, list[str]]:
    """Cells of each element of an array, by the first."""
    done = ask("squeue", "--noheader", "--array", *which, f"--Format={columns}")
    if done.returncode and "Invalid job id" not in done.stderr:
        raise OSError(f"squeue: {first_line(done.stderr)}")
    found = {}
    for line in filter(None, done.stdout.split("\n")):
        cells, start = [], 0
        for width in (int(column.partition(":")[2]) for column in columns.split(",")):
            cells.append(line[start : start + width].strip())
            start += width
        found[cells[0]] = cells
    return found


def array_limit() -> int:
    """How many elements an array may have. Raises OSError when the controller does not answer."""
    done = ask("scontrol", "show", "config")
    checked(done)
    rows = (line.partition("=") for line in done.stdout.split("\n"))
    found = next((value.strip() for name, _, value in rows if name.strip() == "MaxArraySize"), "")
    return int(found) if found.isdigit() and int(found) > 0 else ARRAY_LIMIT
