"""`inferencebench suites`: which suites there are, what one asks, and whether a file is one."""

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from inferencebench.cli.common import JsonOption, print_json, stdout
from inferencebench.suites import load as suites
from inferencebench.suites.model import Scenario, Suite
from inferencebench.suites.table7 import table7_json

app = typer.Typer(
    help="What is measured: built-in suites, and checking your own.",
    epilog="Example: inferencebench suites list",
    no_args_is_help=True,
)


@app.command("list", epilog="Example: inferencebench suites list")
def list_suites(json: JsonOption = False) -> None:
    """List the built-in suites."""
    found = [suites.load(name) for name in suites.names()]
    if json:
        print_json(
            [{"name": s.name, "title": s.title, "model": s.model.id, "hardware": s.hardware.name} for s in found]
        )
        return
    table = Table("suite", "model", "hardware", "what it is")
    for s in found:
        table.add_row(s.name, s.model.id, s.hardware.name, s.description)
    stdout().print(table)


@app.command(epilog="Example: inferencebench suites show h100-mistral-7b")
def show(
    name: Annotated[str, typer.Argument(help="A built-in suite, or a TOML file.", metavar="NAME")],
    json: JsonOption = False,
) -> None:
    """Show a suite: its runtime parameters as in the paper's Table 7, model, hardware and quality gate."""
    suite = suites.load(name)
    if json:
        print_json({"sha256": suite.sha256, "table7": table7_json(suite), "suite": suite.model_dump(mode="json")})
        return
    console = stdout()
    console.print(f"[bold]{suite.name}[/bold]: {suite.title}\n{suite.description}\n")
    console.print(_runtime_table(suite))
    console.print(_facts_table(suite))


@app.command(epilog="Example: inferencebench suites validate my-suite.toml")
def validate(
    file: Annotated[str, typer.Argument(help="The TOML file to check.", metavar="FILE")], json: JsonOption = False
) -> None:
    """Check a suite file. Exit code 2 and one line if something is wrong."""
    suite = suites.load(file)
    if json:
        print_json({"valid": True, "name": suite.name, "sha256": suite.sha256})
        return
    scenarios = ", ".join(s.name.value for s in suite.scenarios)
    typer.echo(f"{file}: valid; suite {suite.name} with {scenarios}; sha256 {suite.sha256}")


def _runtime_table(suite: Suite) -> Table:
    """Fits 80 columns."""
    table = Table(title="Runtime parameters (tokens)", title_justify="left", box=SIMPLE_HEAD)
    for column in ("scenario", "L_in", "L_out", "requests", "max new", "temp.", "load, in flight"):
        table.add_column(column, no_wrap=True)
    for row, s in zip(table7_json(suite)["rows"], suite.scenarios, strict=True):
        cells = (row["L_in"], row["L_out"], row["requests"], row["max_new"], f"{s.temperature:g}")
        table.add_row(f"{s.id} {s.name.value}", *map(str, cells), _load(s))
    table.caption = f"Lengths are uniform in [{suite.range_ratio:g} L, L]."
    return table


def _load(scenario: Scenario) -> str:
    lines = []
    for p in scenario.profiles:
        rate = f" {p.rate_per_s:g}/s" if p.rate_per_s else ""
        lines.append(f"{p.name}{rate}, {p.concurrency}")
    return "\n".join(lines)


def _facts_table(suite: Suite) -> Table:
    m, h, q, limits = suite.model, suite.hardware, suite.quality, suite.limits
    table = Table(show_header=False, title="Fixed facts", title_justify="left")
    table.add_row("model", f"{m.id}, {m.dtype} baseline, from {m.source.kind}")
    table.add_row(
        "shape",
        f"{m.layers} layers, hidden {m.hidden}, {m.heads}/{m.kv_heads} heads, vocab {m.vocab}; "
        f"{m.body_params / 1e9:.4g} B body + {m.head_params / 1e9:.3g} B head per token",
    )
    peaks = ", ".join(f"{name} {value:g}" for name, value in h.tflops.items())
    rates = f"; {peaks} TFLOP/s; {h.bandwidth_gb_per_s:g} GB/s" if peaks else "; peaks calibrated on the machine"
    cores = f"server on {h.server_cpus} core(s), client on {h.client_cpus}" if h.server_cpus else "all cores"
    table.add_row("hardware", f"{h.devices} x {h.name}{rates}; {cores}")
    table.add_row("metrics", ", ".join(f"{s.id} {s.metric.value}" for s in suite.scenarios))
    table.add_row("prompts", suite.corpus.name)
    judged = "not judged: random weights" if m.source.kind == "random" else f"tau {q.tau:g}"
    table.add_row("quality", f"{q.questions} questions of {q.dataset}, at most {q.max_tokens} tokens, {judged}")
    table.add_row("seed pairs", ", ".join(f"({p.dev}, {p.eval})" for p in suite.seed_pairs))
    table.add_row("baseline", f"{suite.baseline_launches} launch(es)")
    table.add_row(
        "limits", f"budget {limits.budget_s:g} s, ready in {limits.ready_s:g} s, {limits.request_s:g} s a request"
    )
    return table
