"""`inferencebench compare A B`: is B slower than A, and how sure is that?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inferencebench.cli import load_options as options
from inferencebench.cli.common import JsonOption, notes, print_json, stderr, stdout
from inferencebench.errors import BenchError, UserError

if TYPE_CHECKING:
    from inferencebench.load.compare import Comparison, Side
    from inferencebench.load.session import Work

EXIT_REGRESSION = 1
SideArgument = typer.Argument(help="A server's URL; or a record of `measure --json`, or a folder of them.")


def compare(
    a: Annotated[str, SideArgument],
    b: Annotated[str, SideArgument],
    repeats: Annotated[int, typer.Option("--repeats", min=2, max=100, help="Measurements of each server.")] = 5,
    margin: Annotated[
        float, typer.Option("--margin", min=0.0, max=10.0, help="Slowdown that is none yet: 0.05 is five per cent.")
    ] = 0.05,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="Figure that decides, repeatable; default: ttft_s, tpot_s, latency_s, output_tokens_per_s.",
        ),
    ] = None,
    suite: options.SuiteOption = None,
    scenario: options.ScenarioOption = None,
    requests: options.RequestsOption = None,
    arrival: options.ArrivalOption = None,
    rate: options.RateOption = None,
    concurrency: options.ConcurrencyOption = None,
    limit: options.LimitOption = None,
    duration: options.DurationOption = None,
    warmup: options.WarmupOption = None,
    seed: options.SeedOption = 1,
    timeout: options.TimeoutOption = None,
    api_key_env: options.KeyOption = None,
    cacert: options.CacertOption = None,
    insecure: options.InsecureOption = False,
    model: options.ModelOption = None,
    tokenizer: options.TokenizerOption = None,
    slo: options.SloOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Keep every record: DIR/a/01.json, DIR/b/01.json, …", metavar="DIR"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare two servers by interleaved repeats of the same load (A B, B A, …), or two sets of kept records.

    A figure is worse when the 95 % interval of its slowdown excludes 1 and the slowdown reaches the margin. Records may
    be results of `vllm bench serve --save-result` too. Exit 1: a regression, or a measurement that is not valid.

    Example: inferencebench compare http://127.0.0.1:8000 http://127.0.0.1:8001 --requests mine.jsonl --concurrency 8
    """
    from inferencebench.load import compare as comparing
    from inferencebench.load.goodput import parse_slo
    from inferencebench.load.kept import kept_side

    known = [*(f"{n}{t}_s" for n in comparing.LATENCIES for t in ("", "_p99")), *comparing.RATES]
    for name in metric or ():
        if name not in known:
            raise UserError(f"--metric {name!r}: expected one of {', '.join(known)}")
    if live := _are_urls(a, b):
        load = options.chosen_load(arrival, rate, concurrency, limit, duration, seed)
        level, timeout_s = parse_slo(slo or ()), options.seconds(timeout)
        what = options.sending(suite, scenario, requests, tokenizer, warmup)
        servers = tuple(options.server(url, api_key_env, model, cacert, insecure) for url in (a, b))

        def work_of(note: "options.Note") -> "Work":
            return options.judged(options.work_of(what, servers[0][1], load, note), timeout_s, level)

        sides = _measure(servers, repeats, work_of, out)
    else:
        if requests is not None or suite is not None or out is not None:
            raise UserError("kept records are compared as they are: --requests, --suite and --out need two URLs")
        sides = kept_side(Path(a)), kept_side(Path(b))
    judged = tuple(metric or comparing.JUDGED)
    _conclude(comparing.compare(*sides, paired=live, margin=margin, judged=judged), json=json)


def _are_urls(a: str, b: str) -> bool:
    """Whether both are URLs of servers. Raises UserError for a URL of another kind, and where only one is a URL."""
    from inferencebench.load.remote import endpoint

    urls = [side for side in (a, b) if "://" in side]
    for url in urls:
        endpoint(url)
    if len(urls) == 1:
        raise UserError("A and B must both be URLs, to be measured in turns, or both be kept records")
    return bool(urls)


def _conclude(found: "Comparison", *, json: bool) -> None:
    """Print the comparison; ends with exit code 1 for a regression or where nothing can be concluded."""
    if json:
        print_json(found)
    if not found.figures:
        raise BenchError(f"nothing to compare: {_missing(found)}")
    if not json:
        _show(found)
    for which, side in (("A", found.a), ("B", found.b)):
        notes(f"{which} is not valid: {reason}" for reason in side.invalid_reasons)
    if found.regressions or not found.valid:
        raise typer.Exit(EXIT_REGRESSION)


def _measure(
    servers: "tuple[options.Server, ...]", repeats: int, work_of: "options.MakeWork", out: Path | None
) -> "tuple[Side, Side]":
    """Both servers in turns. Each repeat's requests are made once and sent to both, each by its own model's name."""
    from inferencebench.cli.live import LiveLoad, interruptible
    from inferencebench.files import write_json
    from inferencebench.load import session
    from inferencebench.load.compare import interleaved

    works: dict[int, Work] = {}
    with LiveLoad(stderr()) as live, interruptible() as stop:

        def run(repeat: int, which: int) -> session.MeasureRecord:
            if repeat not in works:
                works.clear()
                works[repeat] = work_of(live.note)
            api, model = servers[which]
            label = f"{'AB'[which]} {repeat + 1}/{repeats}"
            work = works[repeat].for_model(model)
            found = session.measure(api.target(), api.url, work, lambda _, now: live.show(label, now), stop).record
            if stop.is_set():
                raise KeyboardInterrupt
            if out is not None:
                write_json(out / "ab"[which] / f"{repeat + 1:02}.json", found)
            return found

        return interleaved(repeats, (servers[0][0].url, servers[1][0].url), run)


def _missing(found: "Comparison") -> str:
    """Why there is no figure that both have."""
    sides = (("A", found.a), ("B", found.b))
    why = [f"{which} ({side.name}): {'; '.join(side.invalid_reasons)}" for which, side in sides if side.invalid_reasons]
    return ", ".join(why) or "no figure is in all records of both"


def _show(found: "Comparison") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("", "A", "B", "B is slower by", "95 % interval", "", box=SIMPLE_HEAD, title_justify="left")
    table.title = f"A: {found.a.name}\nB: {found.b.name}"
    for column in table.columns[1:5]:
        column.justify = "right"
    colours = {"worse": "red", "better": "green"}
    for figure in found.figures:
        latency = figure.name.endswith("_s") and not figure.name.endswith("_per_s")
        name = f"{figure.name.removesuffix('_s')}, ms" if latency else figure.name
        values = [f"{value * 1e3:.2f}" if latency else f"{value:.4g}" for value in (figure.a, figure.b)]
        interval = "–"
        if figure.low is not None and figure.high is not None:
            interval = f"{figure.low - 1:+.1%} to {figure.high - 1:+.1%}"
        colour = colours.get(figure.verdict, "dim")
        verdict = f"[{colour}]{figure.verdict}[/]" if figure.judged else f"[dim]({figure.verdict})[/]"
        table.add_row(name, *values, f"{figure.slowdown - 1:+.1%}", interval, verdict)
    repeats = f"{len(found.a.repeats)} and {len(found.b.repeats)} repeats{', interleaved' if found.paired else ''}"
    ends = "no regression" if not found.regressions else f"worse: {', '.join(found.regressions)}"
    if not found.valid:
        ends = "nothing can be concluded: a measurement is not valid"
    out = stdout()
    out.print(table)
    out.print(
        f"{repeats}; margin {found.margin:.0%}; figures in brackets do not decide", highlight=False, soft_wrap=True
    )
    out.print(ends, highlight=False, soft_wrap=True)
