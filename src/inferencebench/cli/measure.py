"""`inferencebench measure` and `inferencebench sweep`: any OpenAI-compatible server, measured by the load client."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inferencebench.cli.common import JsonOption, notes, print_json, stderr, stdout
from inferencebench.errors import UserError

if TYPE_CHECKING:
    from inferencebench.load.dataset import Load
    from inferencebench.load.remote import Endpoint
    from inferencebench.load.session import Work

EXIT_INTERRUPTED = 130

Url = Annotated[str, typer.Argument(help="The server, e.g. http://127.0.0.1:8000", metavar="URL", show_default=False)]
SuiteOption = Annotated[str | None, typer.Option("--suite", help="Prompts and lengths of this suite's --scenario.")]
ScenarioOption = Annotated[str | None, typer.Option("--scenario", help="prefill, decode, throughput or balanced.")]
RequestsOption = Annotated[
    Path | None,
    typer.Option("--requests", help='JSONL: {"messages": [...], "max_tokens": n, ...} per line.', metavar="FILE"),
]
ArrivalOption = Annotated[
    str | None,
    typer.Option(
        "--arrival",
        help="burst (all at once), closed (fixed concurrency), poisson, constant, or trace (timestamp_s of each line).",
    ),
]
RateOption = Annotated[float | None, typer.Option("--rate", help="Requests per second, for poisson and constant.")]
ConcurrencyOption = Annotated[int | None, typer.Option("--concurrency", min=1, help="Most requests in flight.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Number of requests; lines repeat as needed.")]
DurationOption = Annotated[str | None, typer.Option("--duration", help="Start none later than this: 90s, 5m.")]
WarmupOption = Annotated[
    int | None, typer.Option("--warmup", min=0, help="Requests before, not counted. [default: the scenario's, or 1]")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Of Poisson arrivals.")]
TimeoutOption = Annotated[str | None, typer.Option("--timeout", help="Longest one request may take. [default: 600s]")]
KeyOption = Annotated[
    str | None, typer.Option("--api-key-env", help="Environment variable that holds the key.", metavar="NAME")
]
ModelOption = Annotated[str | None, typer.Option("--model", help="Model to ask for. [default: the server's first]")]
TokenizerOption = Annotated[
    Path | None,
    typer.Option(
        "--tokenizer",
        help="tokenizer.json or checkpoint; without, a file's tokens are the server's usage.",
        metavar="PATH",
    ),
]
SamplesOption = Annotated[
    Path | None,
    typer.Option(
        "--samples", help="One row per chunk here (.parquet), per request in NAME.requests.parquet.", metavar="FILE"
    ),
]
PlotOption = Annotated[
    Path | None, typer.Option("--plot", help="Write a picture: .svg, .html or .png.", metavar="FILE")
]


def measure(
    url: Url,
    suite: SuiteOption = None,
    scenario: ScenarioOption = None,
    requests: RequestsOption = None,
    arrival: ArrivalOption = None,
    rate: RateOption = None,
    concurrency: ConcurrencyOption = None,
    limit: LimitOption = None,
    duration: DurationOption = None,
    warmup: WarmupOption = None,
    seed: SeedOption = 1,
    timeout: TimeoutOption = None,
    api_key_env: KeyOption = None,
    model: ModelOption = None,
    tokenizer: TokenizerOption = None,
    samples: SamplesOption = None,
    plot: PlotOption = None,
    json: JsonOption = False,
) -> None:
    """Measure a running server: TTFT, ITL, TPOT, throughput, from the send and from the schedule.

    With --suite the scenario's own load, unless --arrival or --concurrency give another. With --requests the default is
    a burst; poisson where --rate is given, closed where --duration is.

    Example: inferencebench measure http://127.0.0.1:8000 --suite laptop --scenario decode --json
    """
    from inferencebench.cli.live import LiveLoad, interruptible
    from inferencebench.load import session

    load = _load(arrival, rate, concurrency, limit, duration, seed)
    _check_outputs(samples, plot)
    api, name = _server(url, api_key_env, model)
    with LiveLoad(stderr()) as live:
        work = _work(suite, scenario, requests, name, load, tokenizer, warmup, live.note)
        work = _bounded(work, timeout)
        with interruptible() as stop:
            measured = session.measure(api.target(), api.url, work, live.show, stop)
    if samples is not None:
        from inferencebench.load.store import write_tables

        write_tables(samples, samples.with_suffix(".requests.parquet"), measured.samples)
    if plot is not None:
        from inferencebench.plots.measurement import measurement_chart
        from inferencebench.plots.render import save

        save(measurement_chart(measured.record, measured.samples), plot)
    if json:
        print_json(measured.record)
    else:
        from inferencebench.cli.tables import measurement_table

        stdout().print(measurement_table(measured.record))
    notes(f"not valid: {reason}" for reason in measured.record.invalid_reasons)
    if stop.is_set():
        raise typer.Exit(EXIT_INTERRUPTED)


def sweep(
    url: Url,
    suite: SuiteOption = None,
    scenario: ScenarioOption = None,
    requests: RequestsOption = None,
    concurrency: Annotated[
        str | None, typer.Option("--concurrency", help="Levels of a closed load, e.g. 1,2,4,8,16.")
    ] = None,
    rate: Annotated[str | None, typer.Option("--rate", help="Levels of an open load, requests per second.")] = None,
    arrival: Annotated[str, typer.Option("--arrival", help="Of --rate: poisson or constant.")] = "poisson",
    limit: LimitOption = None,
    duration: DurationOption = None,
    warmup: WarmupOption = None,
    seed: SeedOption = 1,
    timeout: TimeoutOption = None,
    api_key_env: KeyOption = None,
    model: ModelOption = None,
    tokenizer: TokenizerOption = None,
    plot: PlotOption = None,
    json: JsonOption = False,
) -> None:
    """Measure a server under growing load, and find the knee: the load of greatest throughput / latency.

    One measurement per level of --concurrency (default 1,2,4,8,16) or --rate, each with --limit requests or for
    --duration. A suite's prompts are new at every level; those of a file repeat, and may hit the server's prefix cache.

    Example: inferencebench sweep http://127.0.0.1:8000 --requests mine.jsonl --concurrency 1,2,4,8 --duration 30s
    """
    from inferencebench.cli.live import LiveLoad, interruptible
    from inferencebench.load import session
    from inferencebench.load import sweep as sweeps
    from inferencebench.load.dataset import OPEN, Load

    if concurrency is not None and rate is not None:
        raise UserError("a sweep is over --concurrency or over --rate, not both")
    if arrival not in OPEN:
        raise UserError(f"--arrival {arrival!r}: a sweep over --rate takes {' or '.join(OPEN)}")
    seconds = _seconds(duration)
    levels = _levels("--concurrency", concurrency or "1,2,4,8,16") if rate is None else _levels("--rate", rate)
    _check_outputs(None, plot)
    api, name = _server(url, api_key_env, model)
    with LiveLoad(stderr()) as live, interruptible() as stop:

        def run(level: float) -> session.MeasureRecord:
            if stop.is_set():
                raise KeyboardInterrupt
            if rate is None:
                load = Load("closed", None, int(level), limit or (None if seconds else 4 * int(level)), seconds, seed)
            else:
                load = Load(arrival, level, None, limit, seconds, seed)
            work = _bounded(_work(suite, scenario, requests, name, load, tokenizer, warmup, live.note), timeout)
            label = f"{level:g}" + ("" if rate is None else "/s")
            return session.measure(
                api.target(), api.url, work, lambda part, now: live.show(f"{part} {label}", now), stop
            ).record

        record = sweeps.sweep(levels, "concurrency" if rate is None else "rate_per_s", run)
    if plot is not None:
        from inferencebench.plots.render import save
        from inferencebench.plots.sweep import sweep_chart

        save(sweep_chart(record), plot)
    if json:
        print_json(record)
    else:
        from inferencebench.cli.tables import sweep_table

        stdout().print(sweep_table(record))
    notes(
        f"{level:g}: not valid: {reason}"
        for level, point in zip(record.loads, record.points, strict=True)
        for reason in point.invalid_reasons
    )


def _load(
    arrival: str | None,
    rate: float | None,
    concurrency: int | None,
    limit: int | None,
    duration: str | None,
    seed: int,
) -> "tuple[Load, bool]":
    """The load asked for, and whether anything but its size was said of it."""
    from inferencebench.load.dataset import ARRIVALS, Load, check

    if arrival is not None and arrival not in ARRIVALS:
        raise UserError(f"--arrival {arrival!r}: expected one of {', '.join(ARRIVALS)}")
    if rate is not None and not 0 < rate < 1e6:
        raise UserError(f"--rate {rate:g}: expected requests per second, above 0")
    seconds = _seconds(duration)
    chosen = arrival or ("poisson" if rate is not None else "closed" if seconds is not None else "burst")
    load = Load(chosen, rate, concurrency, limit, seconds, seed)
    check(load)
    return load, any(value is not None for value in (arrival, rate, concurrency, duration))


def _seconds(duration: str | None) -> float | None:
    from inferencebench.cli.request import duration_s

    return None if duration is None else duration_s(duration)


def _levels(option: str, text: str) -> list[float]:
    whole = option == "--concurrency"
    try:
        levels = [float(int(part)) if whole else float(part) for part in text.split(",")]
    except ValueError:
        levels = []
    if not levels or not all(0 < level < 1e6 for level in levels):
        raise UserError(f"{option} {text!r}: expected {'whole ' if whole else ''}numbers above 0, such as 1,2,4,8")
    return levels


def _check_outputs(samples: Path | None, plot: Path | None) -> None:
    if samples is not None:
        if samples.suffix != ".parquet":
            raise UserError(f"{samples}: samples are written as .parquet; give the file that ending")
        if not samples.absolute().parent.is_dir():
            raise UserError(f"{samples}: the directory does not exist")
    if plot is not None:
        from inferencebench.plots.render import check

        check(plot)


def _server(url: str, key_env: str | None, model: str | None) -> "tuple[Endpoint, str]":
    """The API and the model to ask for; MissingError when nothing answers."""
    from inferencebench.load.remote import check_reachable, endpoint, served_model

    api = endpoint(url, key_env)
    if model is None:
        return api, served_model(api)
    check_reachable(api)
    return api, model


def _work(
    suite: str | None,
    scenario: str | None,
    requests: Path | None,
    model: str,
    load: "tuple[Load, bool] | Load",
    tokenizer: Path | None,
    warmup: int | None,
    note: Callable[[str], None],
) -> "Work":
    from inferencebench.load.sources import from_file, from_suite

    chosen, stated = load if isinstance(load, tuple) else (load, True)
    if (suite is None) == (requests is None):
        raise UserError("say what to send: --suite NAME --scenario NAME, or --requests FILE.jsonl")
    if requests is not None:
        if scenario is not None:
            raise UserError("--scenario belongs to --suite, not to --requests")
        return from_file(requests, model, chosen, tokenizer=tokenizer, warmup=1 if warmup is None else warmup)
    if scenario is None or suite is None:
        raise UserError("--suite needs a --scenario: prefill, decode, throughput or balanced")
    return from_suite(
        suite, scenario, model, chosen if stated else None,
        tokenizer=tokenizer, limit=chosen.limit, warmup=warmup, progress=note,
    )  # fmt: skip


def _bounded(work: "Work", timeout: str | None) -> "Work":
    seconds = _seconds(timeout)
    return work if seconds is None else replace(work, request_timeout_s=seconds)
