"""Which conditions make sense for which agents: checked before anything is run."""

from inferencebench.engines import registry as engines
from inferencebench.errors import UserError
from inferencebench.run.spec import EMPTY_START, Condition

READS_NO_PROMPT = ("engine", "search", "search-blind", "zoo")
"""Kinds of agents that are code of the harness: wording and warm starts change nothing for them."""


def check(condition: Condition, agent: str) -> None:
    """Raises UserError, in one line, for engines that do not exist, and for settings that cannot matter to `agent` or
    contradict it: such a record would look like an ablation and be none."""
    if condition.start != EMPTY_START:
        _engine("--start", condition.start, f"{EMPTY_START}, ")
    if condition.engine_only is not None:
        _engine("--engine-only", condition.engine_only)
    kind = agent.partition(":")[0]
    if kind not in READS_NO_PROMPT:
        return
    changed = condition.model_dump(exclude_defaults=True, exclude={"budget_s"})
    if changed:
        option = sorted(changed)[0].replace("_", "-")
        raise UserError(f"--{option}: nothing changes for {agent}; it is for script: and command-line agents")


def _engine(option: str, name: str, also: str = "") -> None:
    if name not in engines.names():
        raise UserError(f"{option} {name}: expected one of {also}{', '.join(engines.names())}")
