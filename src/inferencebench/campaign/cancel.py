"""Cancelling a campaign: everything placed is told to end and waited for; a driver that works places nothing more."""

import time
from pathlib import Path
from typing import NamedTuple

from inferencebench.campaign.adopt import adopt
from inferencebench.campaign.driver import Driver, refuse_others
from inferencebench.campaign.executors.contract import Executor, Life
from inferencebench.campaign.journal import FOLDER, LOG, Journal, alone
from inferencebench.campaign.plan import Plan
from inferencebench.errors import InfrastructureError, UserError
from inferencebench.run.machine import lease

WAIT_S = 120.0
"""For runs to end their servers, and for a scheduler to say that they did."""
POLL_S = 0.5


class Cancelled(NamedTuple):
    """What cancelling came to."""

    told: int
    """Placements that had not ended."""
    left: tuple[str, ...]
    """Handles of those that still have not."""


def cancel(plan: Plan, out: Path, executor: Executor, wait_s: float = WAIT_S) -> Cancelled:
    """End what the campaign in `out` has placed, also what its driver had no time to write down. `campaign run`
    continues it later.

    Raises UserError when there is no campaign in `out`, or it was placed by another executor, and InfrastructureError
    when the scheduler or the directory is away for all of `wait_s`."""
    if not (out / FOLDER / LOG).is_file():
        raise UserError(f"{out}: no campaign was started here; give the --out of `campaign run`")
    journal = Journal(out)
    refuse_others(out, journal.histories(), executor)
    journal.append("cancelled", "")
    told: set[str] = set()
    adopted = False
    deadline = time.monotonic() + wait_s
    while True:
        late = time.monotonic() > deadline
        try:
            adopted = adopted or _adopt(journal, plan, out, executor)
            left = _alive(journal, executor)
            told.update(left)
            if late or not left:
                _note_ends(plan, out, executor)
                return Cancelled(len(told), tuple(left))
            executor.cancel(left)
        except OSError as error:
            if late:
                raise InfrastructureError(
                    f"{executor.name}: {error}; the campaign is marked cancelled; run cancel again"
                ) from None
        time.sleep(POLL_S)


def _adopt(journal: Journal, plan: Plan, out: Path, executor: Executor) -> bool:
    """Whether what nobody wrote down is written down now; a driver that works does that itself."""
    try:
        with lease(out.absolute() / FOLDER / ".lock", wait=False):
            adopt(journal, plan, executor)
    except UserError:
        return False
    return True


def _alive(journal: Journal, executor: Executor) -> list[str]:
    """Handles that have not ended; those that a driver placed meanwhile, too."""
    handles = [history.handle for history in journal.histories().values() if history.handle]
    found = executor.poll(handles)
    return [handle for handle in handles if found[handle].life in (Life.QUEUED, Life.RUNNING)]


def _note_ends(plan: Plan, out: Path, executor: Executor) -> None:
    """Write the ends down, unless a driver is there to do it."""
    try:
        with alone(out.absolute()):
            Driver(plan, out, executor, lambda snapshot: None).note()
    except UserError:
        return
