"""`inferencebench agents`: which command-line agents there are, and installing one into the cache."""

from typing import Annotated

import typer
from rich.table import Table

from inferencebench.cli.common import JsonOption, print_json, stdout

app = typer.Typer(
    help="Command-line coding agents: pinned versions, installed into the cache.",
    epilog="Example: inferencebench agents install codex",
    no_args_is_help=True,
)


@app.command("list", epilog="Example: inferencebench agents list")
def list_agents(json: JsonOption = False) -> None:
    """List the pinned agents and whether each is installed."""
    from inferencebench.agents import install
    from inferencebench.agents.adapters import registry

    packages = [registry.get(name).package for name in registry.names()]
    rows = [(p, install.installed(p)) for p in packages]
    if json:
        print_json([{**p.model_dump(mode="json"), "installed": found is not None} for p, found in rows])
        return
    table = Table("agent", "package", "version", "installed")
    for p, found in rows:
        table.add_row(p.name, p.npm, p.version, "yes" if found else "no")
    stdout().print(table)


@app.command("install", epilog="Example: inferencebench agents install codex")
def install_agent(
    name: Annotated[str, typer.Argument(help="The agent, as `agents list` names it.", metavar="NAME")],
    json: JsonOption = False,
) -> None:
    """Install an agent and its Node.js (300 to 600 MB) and record the integrity of every package."""
    from inferencebench.agents import install
    from inferencebench.agents.adapters import registry

    record = install.install(registry.get(name).package)
    if json:
        print_json(record)
        return
    typer.echo(f"{name}: {record.reported_version} in {record.package.folder}; {len(record.integrity)} packages")
