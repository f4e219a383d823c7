"""`inferencebench spaces list|show|check`: the settings that a search looks at."""

from typing import Annotated

import typer

from inferencebench.cli.common import JsonOption, print_json, stdout
from inferencebench.errors import MissingError

app = typer.Typer(
    help="The settings of each engine that a search looks at.",
    epilog="Example: inferencebench spaces show llamacpp",
    no_args_is_help=True,
)

Engine = Annotated[str, typer.Argument(help="vllm, sglang, tgi, llamacpp, transformers or pytorch.", metavar="ENGINE")]
Paper = Annotated[bool, typer.Option("--paper", help="The published space instead of ours.")]
Version = Annotated[
    str | None, typer.Option("--version", help="Of the engine; default: the installed one, else the newest range.")
]


@app.command("list")
def list_spaces(json: JsonOption = False) -> None:
    """All spaces, with their engine, versions and number of combinations.

    Example: inferencebench spaces list
    """
    from rich.table import Table

    from inferencebench.search.space import shipped

    if json:
        print_json([s.model_dump(mode="json") | {"size": s.size} for s in shipped()])
        return
    table = Table("space", "engine", "versions", "settings", "combinations")
    for s in shipped():
        versions = f"{s.versions.at_least} to {s.versions.below}"
        table.add_row(s.name, s.engine, "published" if s.paper else versions, str(len(s.parameters)), f"{s.size:,}")
    stdout().print(table)


@app.command("show")
def show(engine: Engine, version: Version = None, paper: Paper = False, json: JsonOption = False) -> None:
    """One space: settings with their values, rules, and first guesses.

    Example: inferencebench spaces show llamacpp
    """
    from rich.table import Table

    from inferencebench.search.space import find

    found = find(engine, version, paper=paper)
    if json:
        print_json(found.model_dump(mode="json"))
        return
    table = Table("setting", "values", "as")
    for p in found.parameters:
        values = ", ".join("unset" if choice is None else str(choice) for choice in p.choices)
        table.add_row(p.name, values, p.flag or p.env or p.renderer)
    out = stdout()
    out.print(table)
    for rule in found.forbid:
        parts = " and ".join(f"{n} in {['unset' if v is None else v for v in vs]}" for n, vs in rule.all.items())
        out.print(f"never {parts}: {rule.source}", markup=False)
    for scenario, presets in found.presets.items():
        out.print(f"{scenario} first: {'; '.join(str(preset) for preset in presets)}", markup=False)


@app.command("check")
def check(engine: Engine, paper: Paper = False, json: JsonOption = False) -> None:
    """Hold a space against the help of the installed engine; exit 3 where they differ or it is not installed.

    Example: inferencebench spaces check llamacpp
    """
    from inferencebench.engines import registry
    from inferencebench.search.options import compare, installed_help
    from inferencebench.search.space import find

    installed = registry.get(engine)
    available = installed.availability()
    if not available.ok:
        raise MissingError(f"{engine}: {available.detail}; {available.remedy}")
    found = find(engine, installed.version(), paper=paper)
    problems = compare(found, installed_help(installed.help_argv()))
    if json:
        print_json({"space": found.name, "engine": available.detail, "problems": [p._asdict() for p in problems]})
    else:
        for problem in problems:
            stdout().print(f"{problem.parameter}: {problem.what}", markup=False)
        stdout().print(f"{found.name} against {available.detail}: {len(problems)} problems", markup=False)
    if problems:
        raise typer.Exit(3)
