"""What `measure`, `sweep`, `compare`, `import` and `tune` share: options, and what they come to."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from inferencebench.cli.common import duration_s, notes
from inferencebench.errors import UserError

if TYPE_CHECKING:
    from inferencebench.load.dataset import Load
    from inferencebench.load.goodput import Slo
    from inferencebench.load.model import Recorder
    from inferencebench.load.remote import Endpoint
    from inferencebench.load.session import Work

    Server = tuple[Endpoint, str]
    Note = Callable[[str], None]
    MakeWork = Callable[[Note], Work]

UNNAMED_MODEL = "default"
"""Asked for where the server lists no models: one that has no list does not mind the name."""

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
    int | None, typer.Option("--warmup", min=0, help="Requests before, not counted; default: the scenario's, or 1.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Of Poisson arrivals.")]
TimeoutOption = Annotated[str | None, typer.Option("--timeout", help="Longest one request may take; default: 600s.")]
KeyOption = Annotated[
    str | None, typer.Option("--api-key-env", help="Environment variable that holds the key.", metavar="NAME")
]
ModelOption = Annotated[str | None, typer.Option("--model", help="Model to ask for; default: the server's first.")]
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
CacertOption = Annotated[
    Path | None, typer.Option("--cacert", help="Certificates (PEM) to trust for https.", metavar="FILE")
]
SloOption = Annotated[
    list[str] | None,
    typer.Option(
        "--slo", help="For goodput: what each request must keep; ttft=500ms, tpot=40ms or latency=5s, repeatable."
    ),
]
PriceOption = Annotated[
    float | None, typer.Option("--usd-per-hour", min=0.0, help="Price of the server, for dollars per million tokens.")
]
RecorderOption = Annotated[
    str, typer.Option("--recorder", help="auto, or portable: the fallback of systems without kernel receive stamps.")
]
InsecureOption = Annotated[bool, typer.Option("--insecure", help="Take any certificate for https.")]


@dataclass(frozen=True)
class Sending:
    """A suite's scenario or a file of requests, how their tokens are counted, and how many warm up."""

    suite: str | None
    scenario: str | None
    requests: Path | None
    tokenizer: Path | None
    warmup: int | None
    """None: the scenario's own number, or 1."""


def chosen_load(
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
    limit_s = seconds(duration)
    chosen = arrival or ("poisson" if rate is not None else "closed" if limit_s is not None else "burst")
    found = Load(chosen, rate, concurrency, limit, limit_s, seed)
    check(found)
    return found, any(value is not None for value in (arrival, rate, concurrency, duration))


def seconds(duration: str | None) -> float | None:
    return None if duration is None else duration_s(duration)


def levels(option: str, text: str) -> list[float]:
    whole = option == "--concurrency"
    try:
        found = [float(int(part)) if whole else float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < level < 1e6 for level in found):
        raise UserError(f"{option} {text!r}: expected {'whole ' if whole else ''}numbers above 0, such as 1,2,4,8")
    return found


def known_recorder(name: str) -> "Recorder":
    from inferencebench.load.model import Recorder

    if name not in get_args(Recorder):
        raise UserError(f"--recorder {name!r}: expected auto or portable")
    return cast("Recorder", name)


def check_outputs(samples: Path | None, plot: Path | None) -> None:
    """Whether samples and a picture can be written: asked before a measurement, not after. Raises UserError if not."""
    if samples is not None:
        if samples.suffix != ".parquet":
            raise UserError(f"{samples}: samples are written as .parquet; give the file that ending")
        if not samples.absolute().parent.is_dir():
            raise UserError(f"{samples}: the directory does not exist")
    if plot is not None:
        from inferencebench.plots.render import check

        check(plot)


def server(url: str, key_env: str | None, model: str | None, cacert: Path | None, insecure: bool) -> "Server":
    """The API and the model to ask for; MissingError when nothing answers."""
    from inferencebench.load.remote import check_reachable, endpoint, served_model

    api = endpoint(url, key_env, trust=cacert, verify=not insecure)
    if model is not None:
        check_reachable(api)
        return api, model
    found = served_model(api)
    if found is None:
        notes([f"{api.url}/models is no list of models: asking for {UNNAMED_MODEL!r}; name another with --model"])
    return api, found or UNNAMED_MODEL


def sending(
    suite: str | None, scenario: str | None, requests: Path | None, tokenizer: Path | None, warmup: int | None
) -> Sending:
    """What to send, as the options say it. Raises UserError where they say nothing, two things, or name what is not
    there: asked for before any server is."""
    if suite is None and requests is None:
        raise UserError("say what to send: --suite NAME --scenario NAME, or --requests FILE.jsonl")
    if suite is not None and requests is not None:
        raise UserError("--suite and --requests each say what to send; give one of the two, not both")
    if requests is not None:
        if scenario is not None:
            raise UserError("--scenario belongs to --suite, not to --requests")
        if not requests.exists():
            raise UserError(f"{requests}: no such file; --requests takes one JSON object per line")
    if suite is not None:
        from inferencebench.suites import load as suites

        if scenario is None:
            raise UserError("--suite needs a --scenario: prefill, decode, throughput or balanced")
        suites.scenario(suites.load(suite), scenario)
    if tokenizer is not None and not tokenizer.exists():
        raise UserError(f"{tokenizer}: no such file; --tokenizer takes a tokenizer.json or a checkpoint's directory")
    return Sending(suite, scenario, requests, tokenizer, warmup)


def work_of(what: Sending, model: str, load: "tuple[Load, bool] | Load", note: "Note") -> "Work":
    """The requests of a file or a suite, under a load: one that was stated, or else a suite's own. `note` is told how
    far a checkpoint is fetched. Raises UserError for a bad file, MissingError when a checkpoint cannot be had."""
    from inferencebench.load.sources import from_file, from_suite

    chosen, stated = load if isinstance(load, tuple) else (load, True)
    if what.requests is not None:
        warmup = 1 if what.warmup is None else what.warmup
        return from_file(what.requests, model, chosen, tokenizer=what.tokenizer, warmup=warmup)
    assert what.suite is not None
    assert what.scenario is not None
    return from_suite(
        what.suite, what.scenario, model, chosen if stated else None,
        tokenizer=what.tokenizer, limit=chosen.limit, warmup=what.warmup, progress=note,
    )  # fmt: skip


def judged(work: "Work", timeout_s: float | None, slo: "Slo | None", usd_per_hour: float | None = None) -> "Work":
    """The same work with its bounds: of one request's time, of a service level, and its price."""
    limit_s = timeout_s or work.request_timeout_s
    return replace(work, request_timeout_s=limit_s, slo=slo, usd_per_hour=usd_per_hour)
