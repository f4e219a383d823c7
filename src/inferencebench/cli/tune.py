"""`inferencebench tune`: the fastest settings of one's own server, for one's own traffic and service levels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inferencebench.cli import load_options as options
from inferencebench.cli.common import JsonOption, notes, print_json, stderr, stdout
from inferencebench.errors import UserError

if TYPE_CHECKING:
    from inferencebench.search.tuned import Tuned

EXIT_SLO_MISSED = 1
SMALL = 100
"""Fewer requests than this, and a 99th percentile is about their largest value."""


def tune(
    engine: Annotated[str, typer.Option("--engine", help="llamacpp, vllm, …; several with commas.")],
    model: Annotated[Path, typer.Option("--model", help="The checkpoint's directory.", metavar="PATH")],
    requests: Annotated[
        Path,
        typer.Option("--requests", help='JSONL: {"messages": [...], "max_tokens": n, ...} per line.', metavar="FILE"),
    ],
    objective: Annotated[str, typer.Option("--objective", help="tpot, ttft, throughput or balanced.")],
    slo: Annotated[
        list[str] | None,
        typer.Option("--slo", help="Bound to keep, repeatable: ttft_p99=0.5, tpot_mean=40ms, requests_per_s=2."),
    ] = None,
    budget: Annotated[str, typer.Option("--budget", help="Wall clock, everything included: 10m, 1h.")] = "30m",
    arrival: options.ArrivalOption = None,
    rate: options.RateOption = None,
    concurrency: options.ConcurrencyOption = None,
    limit: options.LimitOption = None,
    duration: options.DurationOption = None,
    sampler: Annotated[str, typer.Option("--sampler", help="tpe, gp, random or smac.")] = "tpe",
    seed: Annotated[int, typer.Option("--seed", help="Of the proposals and of Poisson arrivals.")] = 1,
    agreement: Annotated[
        float,
        typer.Option("--agreement", help="Least share of greedy replies equal to the default's.", min=0.0, max=1.0),
    ] = 0.9,
    tokenizer: options.TokenizerOption = None,
    served_name: Annotated[
        str | None, typer.Option("--served-name", help="Model id of the API; default: the directory's name.")
    ] = None,
    sandbox: Annotated[
        str, typer.Option("--sandbox", help="process (as you would start it), or auto for a wall.")
    ] = "process",
    out: Annotated[Path, typer.Option("--out", "-o", help="Journals and reports go here.", metavar="DIR")] = Path(
        "tuned"
    ),
    json: JsonOption = False,
) -> None:
    """Search an engine's settings on your own requests, within your own bounds, and verify the winner.

    The engine's true default comes first and is what replies are compared with. The same command continues a search
    that was interrupted. Exit 1: no configuration kept the bounds and gave the default's replies. Exit 3: the default
    does not serve the traffic.

    Example: inferencebench tune --engine llamacpp --model ./model --requests chats.jsonl --objective tpot --slo
    ttft_p99=0.5 --budget 30m
    """
    from inferencebench.cli.live import LiveLoad
    from inferencebench.search.request import Request
    from inferencebench.search.slo import parse
    from inferencebench.search.tune import tune as search

    budget_s = options.seconds(budget)
    assert budget_s is not None
    if not engine.replace(",", "").strip():
        raise UserError("--engine: expected a name, or several with commas between them")
    request = Request(
        engines=tuple(dict.fromkeys(engine.split(","))),
        model=model,
        requests=requests,
        objective=objective,
        slos=tuple(parse(text) for text in slo or ()),
        budget_s=budget_s,
        load=options.chosen_load(arrival, rate, concurrency, limit, duration, seed)[0],
        sampler=sampler,
        seed=seed,
        agreement=agreement,
        tokenizer=tokenizer,
        served_name=served_name,
        sandbox=sandbox,
        out=out,
    )
    with LiveLoad(stderr()) as live:
        result, folder = search(request, live.note, live.show)
    if json:
        print_json(result)
    else:
        _show(result, folder)
    notes(_warnings(result))
    if not result.meets_slo:
        raise typer.Exit(EXIT_SLO_MISSED)


def _show(result: "Tuned", folder: Path) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    out = stdout()
    table = Table("", "default", "tuned", box=SIMPLE_HEAD, title_justify="left")
    settings = " ".join(f"{k}={v}" for k, v in result.candidate.configuration.items()) or "the default"
    table.title = f"{result.candidate.engine} {result.engine_version or ''}: {settings}"
    for column in table.columns[1:]:
        column.justify = "right"
    default, tuned = result.verified_default, result.verified
    for name, field, scale in (
        ("TTFT mean, ms", "ttft_s", 1e3),
        ("TPOT mean, ms", "tpot_s", 1e3),
        ("request latency mean, ms", "latency_s", 1e3),
    ):
        cells = [getattr(record, field) if record else None for record in (default, tuned)]
        table.add_row(name, *("–" if c is None else f"{c.mean * scale:.2f}" for c in cells))
    for name, field in (("requests/s", "requests_per_s"), ("output tokens/s", "output_tokens_per_s")):
        table.add_row(name, *("–" if r is None else f"{getattr(r, field):.4g}" for r in (default, tuned)))
    for bound in result.slo:
        value = "–" if bound.value is None else f"{bound.value:.4g}"
        table.add_row(f"{bound.name}, bound {bound.bound:g}", "", f"{value} {'kept' if bound.met else 'BROKEN'}")
    table.caption = _caption(result)
    table.caption_justify = "left"
    out.print(table)
    out.print(f"report: {folder / 'report.html'}\nlaunch: {result.launcher}\n", markup=False, highlight=False)
    out.print(Path(result.launcher).read_text(), markup=False, highlight=False, soft_wrap=True)


def _caption(result: "Tuned") -> str:
    gain = "" if result.improvement is None else f"{result.improvement:.2f} times the default's {result.objective}; "
    same = "no replies compared"
    if result.agreement is not None:
        same = f"greedy replies agree {result.agreement:.0%} with the default's ({result.agreement_checks} prompts)"
    done = result.search
    total = done.elapsed_s + result.verify_s
    return (
        f"{gain}{same}\n{result.reason}; {done.trials} trials, {total:.0f} s of {result.budget_s:.0f} s: "
        f"{done.crash_s:.0f} s on what did not serve, {done.confirm_s:.0f} s confirming, "
        f"{result.verify_s:.0f} s verifying"
    )


def _warnings(result: "Tuned") -> list[str]:
    lines = []
    if not result.meets_slo:
        broken = [f"{b.name} is {b.value} where {b.bound:g} was asked for" for b in result.slo if not b.met]
        if not result.agrees and result.agreement is not None:
            broken.append(
                f"{result.agreement:.0%} of the greedy replies are the default's, fewer than --agreement asks"
            )
        lines.append(f"no configuration kept every bound: {', '.join(broken)}" if broken else result.reason)
        if result.closest is not None:
            lines.append(f"closest in the search: {result.closest.engine} {dict(result.closest.configuration)}")
    if result.verified is not None and result.verified.succeeded < SMALL and any("p99" in b.name for b in result.slo):
        lines.append(f"a 99th percentile of {result.verified.succeeded} requests is about their largest value")
    if not result.agreement_shown:
        lines.append("too few prompts, or too few that the default repeats, to show agreement: the share alone decided")
    if result.verified_default is None:
        lines.append("the default was not measured beside it: the budget was used")
    return lines
