"""What a scheduler starts on a node: `python -m inferencebench.campaign.executors.batch ORDERS.json INDEX`.

It runs the order's command, hands signals on, and writes the exit code and how long it ran beside the orders, so that
both are known also after the scheduler has forgotten the job. Where the scheduler knows no time limit, it keeps the
order's; where it binds jobs to no cores, the run is bound to some that no other run of the node has.
"""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from inferencebench.campaign.executors.contract import Order
from inferencebench.campaign.executors.cores import share, take
from inferencebench.doctor.gpu import scan_gpus
from inferencebench.errors import InfrastructureError, UserError
from inferencebench.files import write_json
from inferencebench.run.machine import counted
from inferencebench.sandbox.namespaces import die_with_parent

HANDED_ON = ("PATH", "HOME", "LANG", "INFERENCEBENCH_CACHE", "XDG_CACHE_HOME")
"""The driver's variables that a job gets: a scheduler stores a job's environment, so no keys."""
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""A scheduler warns with these before it kills; the run ends its servers and keeps what it has."""
TIMEOUT = "TIMEOUT"
LOOK_S = 0.5
GRACE_S = 60.0
"""From SIGTERM to SIGKILL at the time limit, as schedulers give it."""


class NoAnswer(OSError):
    """A scheduler did not answer: it may have done what it was told."""


class End(NamedTuple):
    """What the wrapper left: an exit code, or why there is none that counts."""

    exit_code: int | None
    reason: str
    ran_s: float | None = None
    """Seconds for which the order had its devices, the wait for cores included."""
    told: bool = False
    """Whether a signal told it to end: as by who cancels it, or because what started it is gone."""


def write_orders(path: Path, orders: Sequence[Order], *, cpus: float | None, keep_limits: bool = False) -> None:
    """Store orders for the nodes. `cpus`: what each asks the scheduler for; None: a GPU run has its share of the node,
    a CPU run all of it. `keep_limits` where the scheduler itself ends nothing."""
    rows = [
        {
            "task": o.task,
            "argv": list(o.argv),
            "cwd": str(Path.cwd()),
            "log": str(o.log),
            "env": dict(o.env),
            "devices": o.devices,
            "cpus": cpus,
            "limit_s": o.time_limit_s if keep_limits else None,
        }
        for o in orders
    ]
    write_json(path, rows)


def cpus_asked(options: Mapping[str, Any]) -> float | None:
    """`cpus` of an executor's options. Raises UserError when it is no number."""
    try:
        return float(options["cpus"]) if "cpus" in options else None
    except (TypeError, ValueError):
        raise UserError(f"executor.options.cpus: {options['cpus']!r} is not a number of cores") from None


def submit(
    folder: Path,
    groups: Iterable[Sequence[Order]],
    hand_over: Callable[[Path, Sequence[Order]], Sequence[str]],
    cpus: float | None,
    *,
    keep_limits: bool = False,
) -> dict[str, str]:
    """Handles by task. `hand_over` gives the handles of one group, whose orders are stored in the file. The first group
    of which only a part is taken, or nothing, ends it.

    Raises what `hand_over` raises when nothing of the first is taken."""
    handles: dict[str, str] = {}
    for group in groups:
        try:
            taken = _submit_most(folder, group, hand_over, cpus, keep_limits)
        except (InfrastructureError, OSError):
            if handles:
                break
            raise
        handles.update(taken)
        if len(taken) < len(group):
            break
    return handles


def _submit_most(
    folder: Path,
    group: Sequence[Order],
    hand_over: Callable[[Path, Sequence[Order]], Sequence[str]],
    cpus: float | None,
    keep_limits: bool,
) -> dict[str, str]:
    """Handles of a group, or of its first half, quarter, … when a scheduler refuses more. What was refused leaves no
    files; what may have been taken, though there was no answer, keeps them."""
    while True:
        path = folder / f"{uuid.uuid4().hex[:12]}.json"
        try:
            write_orders(path, group, cpus=cpus, keep_limits=keep_limits)
            given = hand_over(path, group)
            return {order.task: f"{handle}:{path}" for order, handle in zip(group, given, strict=True)}
        except NoAnswer:
            raise
        except (InfrastructureError, OSError) as error:
            for left in folder.glob(f"{path.stem}.*"):
                left.unlink(missing_ok=True)
            if isinstance(error, OSError) or len(group) == 1:
                raise
        group = group[: len(group) // 2]


def tasks_of(orders_file: Path) -> list[str]:
    """The tasks of a file of orders, by index; empty where the file does not say them."""
    try:
        return [str(row["task"]) for row in json.loads(orders_file.read_bytes())]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def command(orders_file: Path, index: int | str, python: str = sys.executable) -> list[str]:
    """The argument list that runs one order."""
    return [python, "-m", "inferencebench.campaign.executors.batch", str(orders_file), str(index)]


def exit_file(orders_file: Path, index: int) -> Path:
    """Where the exit code of an order is written."""
    return orders_file.with_name(f"{orders_file.stem}.{index}.exit")


def read_end(path: Path) -> End | None:
    """What the wrapper wrote at the end; None when it did not get that far."""
    try:
        row = json.loads(path.read_bytes())
        code, ran_s = row["exit_code"], row.get("ran_s")
        reason = str(row.get("reason") or f"exit code {code}")
        ran_s = None if ran_s is None else float(ran_s)
        return End(None if code is None else int(code), reason, ran_s, bool(row.get("told")))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def main(arguments: Sequence[str]) -> int:
    """Run one order. Exit code: the command's, 128 + signal if one killed it."""
    if len(arguments) != 2 or not arguments[1].isdigit():
        raise UserError("batch: give a file of orders and an index")
    path, index = Path(arguments[0]), int(arguments[1])
    began_at, begun = time.time(), time.monotonic()
    order: dict[str, Any] = json.loads(path.read_bytes())[index]
    log = Path(order["log"])
    log.parent.mkdir(parents=True, exist_ok=True)
    exit_file(path, index).unlink(missing_ok=True)  # a requeued job begins anew
    with log.open("ab") as out:
        _bind(order, out)
        child = subprocess.Popen(
            order["argv"],
            cwd=_folder(order["cwd"]),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **order["env"]},
            preexec_fn=die_with_parent,
        )
    told: list[int] = []

    def tell(received: int, frame: object) -> None:
        told.append(received)
        child.send_signal(signal.SIGTERM)

    for number in FORWARDED:
        signal.signal(number, tell)
    code, in_time = _wait(child, order.get("limit_s"))
    end: dict[str, Any] = {"exit_code": code} if in_time else {"exit_code": None, "reason": TIMEOUT}
    if told:
        end["told"] = True
    ran_s = round(time.monotonic() - begun, 3)
    write_json(exit_file(path, index), {"task": order["task"], "began_at": began_at, "ran_s": ran_s, **end})
    return code if code >= 0 else 128 - code


def _folder(cwd: str) -> str | None:
    """Where the driver works, which names of suites and agents may be relative to; None: this node does not see it."""
    return cwd if os.path.isdir(cwd) else None


def _bind(order: Mapping[str, Any], log: BinaryIO) -> None:
    """Bind this process until its end to cores that no other run of the node has; waits for them. One that was bound
    already, by the scheduler or to its container's cores, stays as it is."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < (os.cpu_count() or 1):
        return
    size = _wanted(order, available)
    said = False
    while (block := take(available, size)) is None:
        if not said:
            log.write(f"waits for {counted(size, 'core')} that no other run has\n".encode())
            log.flush()
            said = True
        time.sleep(LOOK_S)
    os.sched_setaffinity(0, block.cpus)


def _wanted(order: Mapping[str, Any], available: Sequence[int]) -> int:
    """How many CPUs an order gets: what it asks for, or its GPUs' share of the node, or all."""
    if order.get("cpus"):
        return max(1, int(order["cpus"]))
    devices = int(order["devices"])
    if not devices:
        return len(available)
    return share(available, max(len(scan_gpus().gpus), devices), devices=devices)


def _wait(child: subprocess.Popen[bytes], limit_s: float | None) -> tuple[int, bool]:
    """Exit code, and whether the command ended within its limit."""
    try:
        return child.wait(limit_s), True
    except subprocess.TimeoutExpired:
        child.terminate()
    try:
        return child.wait(GRACE_S), False
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait(), False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
