"""What each run of a campaign would refuse, said before any is placed. Needs no scheduler, engine, key or sandbox."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inferencebench.agents import registry as agents
from inferencebench.campaign.executors import registry as executors
from inferencebench.campaign.model import load
from inferencebench.campaign.plan import Plan, plan
from inferencebench.errors import MissingError, UserError
from inferencebench.run import conditions
from inferencebench.run.spec import Condition
from inferencebench.sandbox import registry as sandboxes


def checked(file: Path) -> Plan:
    """The plan of a campaign file whose runs may begin. Raises UserError, in one line, for what is wrong in it."""
    found = planned(file)
    placement = found.campaign.executor
    with naming(file):
        if placement.sandbox != sandboxes.AUTO:
            sandboxes.get(placement.sandbox)
        for agent, condition in dict.fromkeys((task.agent, task.condition) for task in found.tasks):
            _check_agent(agent, condition)
        executors.check(found.campaign)
    return found


def planned(file: Path) -> Plan:
    """The plan of a campaign file, without a look at what its runs would refuse. Raises UserError as `checked` does."""
    campaign = load(file)
    with naming(file):
        return plan(campaign)


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Errors in what a campaign file says name the file."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{file}: {error}") from None


def _check_agent(agent: str, condition: Condition) -> None:
    try:
        name = agents.get(agent).name
    except MissingError:  # what it needs is not on this machine; it may be where the run goes
        return
    if name != agent:
        raise UserError(f"matrix.agents: write {agent!r} as {name!r}, the name that its runs have")
    try:
        conditions.check(condition, name)
    except UserError as error:
        raise UserError(f"condition {condition.name} of {name}: {error}") from None
