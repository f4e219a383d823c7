"""`inferencebench sweep`: a server under growing load, and its knee."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inferencebench.cli import load_options as options
from inferencebench.cli.common import JsonOption, notes, print_json, stderr, stdout
from inferencebench.errors import UserError

if TYPE_CHECKING:
    from inferencebench.load.session import Work
    from inferencebench.load.sweep import Over, SweepRecord


def sweep(
    url: options.Url,
    suite: options.SuiteOption = None,
    scenario: options.ScenarioOption = None,
    requests: options.RequestsOption = None,
    concurrency: Annotated[
        str | None, typer.Option("--concurrency", help="Levels of a closed load, e.g. 1,2,4,8,16.")
    ] = None,
    rate: Annotated[str | None, typer.Option("--rate", help="Levels of an open load, requests per second.")] = None,
    arrival: Annotated[str, typer.Option("--arrival", help="Of --rate: poisson or constant.")] = "poisson",
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
    usd_per_hour: options.PriceOption = None,
    plot: options.PlotOption = None,
    json: JsonOption = False,
) -> None:
    """Measure a server under growing load, and find the knee: the load of greatest throughput / latency.

    One measurement per level of --concurrency (default 1,2,4,8,16) or --rate, each with --limit requests or for
    --duration. A suite's prompts are new at every level; those of a file repeat, and may hit the server's prefix cache.
    The exit code is 0 whatever the server answered, nothing included: a script asks `valid` of each point (--json).

    Example: inferencebench sweep http://127.0.0.1:8000 --requests mine.jsonl --concurrency 1,2,4,8 --duration 30s
    """
    from inferencebench.load.dataset import OPEN, Load
    from inferencebench.load.goodput import parse_slo

    if concurrency is not None and rate is not None:
        raise UserError("a sweep is over --concurrency or over --rate, not both")
    if arrival not in OPEN:
        raise UserError(f"--arrival {arrival!r}: a sweep over --rate takes {' or '.join(OPEN)}")
    seconds, timeout_s = options.seconds(duration), options.seconds(timeout)
    service = parse_slo(slo or ())
    levels = (
        options.levels("--concurrency", concurrency or "1,2,4,8,16") if rate is None else options.levels("--rate", rate)
    )
    what = options.sending(suite, scenario, requests, tokenizer, warmup)
    options.check_outputs(None, plot)
    server = options.server(url, api_key_env, model, cacert, insecure)

    def work_at(level: float, note: "options.Note") -> "Work":
        if rate is None:
            load = Load("closed", None, int(level), limit or (None if seconds else 4 * int(level)), seconds, seed)
        else:
            load = Load(arrival, level, None, limit, seconds, seed)
        return options.judged(options.work_of(what, server[1], load, note), timeout_s, service, usd_per_hour)

    _show(_measure(server, levels, "concurrency" if rate is None else "rate_per_s", work_at), plot, json=json)


def _measure(
    server: "options.Server", levels: list[float], over: "Over", work_at: "Callable[[float, options.Note], Work]"
) -> "SweepRecord":
    """The server at each level in turn. Raises KeyboardInterrupt when it was told to stop."""
    from inferencebench.cli.live import LiveLoad, interruptible
    from inferencebench.load import session
    from inferencebench.load import sweep as sweeps

    target, url, unit = server[0].target(), server[0].url, "/s" if over == "rate_per_s" else ""
    with LiveLoad(stderr()) as live, interruptible() as stop:

        def run(level: float) -> session.MeasureRecord:
            if stop.is_set():
                raise KeyboardInterrupt
            label = f"{level:g}{unit}"
            work = work_at(level, live.note)
            return session.measure(target, url, work, lambda part, now: live.show(f"{part} {label}", now), stop).record

        return sweeps.sweep(levels, over, run)


def _show(record: "SweepRecord", plot: Path | None, *, json: bool) -> None:
    """Draw it where a picture was asked for, print it, and say which levels are not valid."""
    if plot is not None:
        from inferencebench.plots.render import save
        from inferencebench.plots.sweep import sweep_chart

        save(sweep_chart(record), plot)
    if json:
        print_json(record)
    else:
        from inferencebench.cli.measure_show import sweep_table

        stdout().print(sweep_table(record))
    notes(
        f"{level:g}: not valid: {reason}"
        for level, point in zip(record.loads, record.points, strict=True)
        for reason in point.invalid_reasons
    )
