"""From command-line words to run specs and the bench they share."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from inferencebench.cli.common import duration_s
from inferencebench.errors import UserError
from inferencebench.run.bench import Bench, Sources
from inferencebench.run.reporter import Reporter
from inferencebench.run.spec import Condition, Net, PromptVariant, RunSpec
from inferencebench.suites.model import SeedPair, Suite


@dataclass(frozen=True)
class Common:
    """Options that `run`, `baseline` and `demo` share."""

    out: Path
    sandbox: str = "auto"
    sources: Sources = field(default_factory=Sources)
    import_baseline: Path | None = None
    share_device: bool = False


CHOICES = {"prompt": get_args(PromptVariant), "net": get_args(Net)}


def condition(budget: str | None, prompt: str, start: str, engine_only: str | None, net: str = "none") -> Condition:
    """The condition that the options of a command line say.

    Raises UserError for a value that is none."""
    fields = {"prompt": prompt, "start": start, "engine_only": engine_only, "net": net}
    try:
        return Condition.model_validate({"budget_s": duration_s(budget) if budget else None, **fields})
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        right = ", ".join(CHOICES.get(name, ("the name of an engine",)))
        raise UserError(f"--{name.replace('_', '-')} {fields[name]}: expected {right}") from None


def seed_pair(text: str | None, suite: Suite) -> SeedPair:
    """The pair `DEV,EVAL`; None: the suite's first.

    Raises UserError when it is not two integers, or the same one twice."""
    if text is None:
        return suite.seed_pairs[0]
    try:
        dev, evaluation = (int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--seed-pair {text!r}: write it as DEV,EVAL, for example 21,1337") from None
    if dev == evaluation:
        raise UserError(f"--seed-pair {text!r}: the dev and the eval seed must differ")
    return SeedPair(dev=dev, eval=evaluation)


def bench(suite: Suite, common: Common, reporter: Reporter) -> Bench:
    """What the runs of this command share."""
    return Bench(suite, common.out, common.sources, reporter, common.import_baseline)


def spec(
    suite: Suite,
    scenario: str,
    agent: str,
    common: Common,
    *,
    condition: Condition | None = None,
    pair: SeedPair | None = None,
    repeat: int = 0,
) -> RunSpec:
    """A run spec with every name resolved.

    Raises UserError for unknown names, MissingError when no sandbox works here."""
    from inferencebench.agents import registry as agents
    from inferencebench.run import conditions
    from inferencebench.sandbox import registry as sandboxes
    from inferencebench.suites.load import scenario as find_scenario

    the_agent = agents.get(agent)
    conditions.check(condition or Condition(), the_agent.name)
    return RunSpec.create(
        suite,
        scenario=find_scenario(suite, scenario).name,
        agent=the_agent.name,
        agent_sha256=the_agent.sha256,
        condition=condition or Condition(),
        seed_pair=pair or suite.seed_pairs[0],
        repeat=repeat,
        sandbox=sandboxes.get(common.sandbox).name,
        share_device=common.share_device,
    )
