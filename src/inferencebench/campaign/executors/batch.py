"""What a scheduler starts on a node: `python -m inferencebench.campaign.executors.batch ORDERS.json INDEX`.

It runs the order's command, hands signals on, and writes the exit code beside the log, so that the end of a run is
known also after the scheduler has forgotten the job.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inferencebench.campaign.executors.contract import Order
from inferencebench.errors import UserError
from inferencebench.files import write_json

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""A scheduler warns with these before it kills; the run ends its servers and keeps what it has."""


def write_orders(path: Path, orders: Sequence[Order]) -> None:
    """Store orders for the nodes."""
    rows = [
        {"task": o.task, "argv": list(o.argv), "log": str(o.log), "env": dict(o.env), "devices": o.devices}
        for o in orders
    ]
    write_json(path, rows)


def exit_file(orders_file: Path, index: int) -> Path:
    """Where the exit code of an order is written."""
    return orders_file.with_name(f"{orders_file.stem}.{index}.exit")


def read_exit(path: Path) -> int | None:
    """The exit code in such a file; None when the command did not end by itself."""
    try:
        return int(json.loads(path.read_bytes())["exit_code"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def main(arguments: Sequence[str]) -> int:
    """Run one order. Exit code: the command's, 128 + signal if one killed it."""
    if len(arguments) != 2 or not arguments[1].isdigit():
        raise UserError("batch: give a file of orders and an index")
    path, index = Path(arguments[0]), int(arguments[1])
    order: dict[str, Any] = json.loads(path.read_bytes())[index]
    log = Path(order["log"])
    log.parent.mkdir(parents=True, exist_ok=True)
    exit_file(path, index).unlink(missing_ok=True)  # a requeued job begins anew
    with log.open("ab") as out:
        child = subprocess.Popen(
            order["argv"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **order["env"]}
        )
    for number in FORWARDED:
        signal.signal(number, lambda received, frame: child.send_signal(signal.SIGTERM))
    code = child.wait()
    write_json(exit_file(path, index), {"task": order["task"], "exit_code": code})
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
