"""`inferencebench prompt`: the task as an agent would read it here."""

from typing import Annotated

import typer

from inferencebench.cli.common import JsonOption, print_json
from inferencebench.cli.run import BudgetOption, EngineOnlyOption, NetOption, PromptOption, ScaleOption, StartOption


def prompt(
    suite: Annotated[str, typer.Argument(help="Name of a built-in suite, or a TOML file.")],
    scenario: Annotated[str, typer.Argument(help="prefill, decode, throughput or balanced (or A, B, C, D).")],
    budget: BudgetOption = None,
    prompt: PromptOption = "default",
    start: StartOption = "empty",
    engine_only: EngineOnlyOption = None,
    net: NetOption = "none",
    scale: ScaleOption = 1.0,
    json: JsonOption = False,
) -> None:
    """Print the text that an agent is given under a condition, with this machine's facts.

    Example: inferencebench prompt laptop decode --prompt structured
    """
    from inferencebench.cli import request
    from inferencebench.doctor.hardware import fingerprint
    from inferencebench.prompts.render import machine_facts, render
    from inferencebench.run import conditions
    from inferencebench.run.machine import allocate
    from inferencebench.run.spec import RunSpec
    from inferencebench.suites.load import load
    from inferencebench.suites.load import scenario as find_scenario
    from inferencebench.suites.scale import scaled

    the_suite = scaled(load(suite), scale)
    condition = request.condition(budget, prompt, start, engine_only, net)
    conditions.check(condition, "script:")
    spec = RunSpec.create(
        the_suite,
        scenario=find_scenario(the_suite, scenario).name,
        agent="",
        agent_sha256="",
        condition=condition,
        seed_pair=the_suite.seed_pairs[0],
        sandbox="",
    )
    hardware = the_suite.hardware
    gpus = hardware.devices if hardware.kind == "cuda" else 0
    text = render(spec, machine_facts(the_suite, fingerprint(), len(allocate(hardware).server), gpus))
    if json:
        print_json({"condition": condition.name, "prompt": text})
    else:
        typer.echo(text, nl=False)
