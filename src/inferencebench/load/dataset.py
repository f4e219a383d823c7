"""Requests of one's own, from JSON lines, and the schedule they are offered by."""

import json
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import orjson

from inferencebench.errors import UserError
from inferencebench.load.arrivals import offsets
from inferencebench.load.model import Offered, PlannedRequest
from inferencebench.suites.model import Profile

Arrival = Literal["burst", "closed", "poisson", "constant", "trace"]
ARRIVALS: tuple[Arrival, ...] = ("burst", "closed", "poisson", "constant", "trace")
OPEN: tuple[Arrival, ...] = ("poisson", "constant")
"""Arrivals by a rate, whatever the server does."""
MAX_IN_FLIGHT = 512
"""Cap of an open load that states none: above it a client measures its own queue. Each is one connection."""
_TOKEN_KEYS = ("max_tokens", "max_completion_tokens")
_OWN_KEYS = ("timestamp_s", "prompt_tokens")


@dataclass(frozen=True)
class Row:
    """One line of a request file, encoded as it will be sent."""

    body: bytes
    max_tokens: int
    prompt_tokens: int
    """As the line states it; 0 where it does not."""
    forced_length: bool
    """It sets `ignore_eos`, so that a shorter reply breaks the length."""
    timestamp_s: float | None


@dataclass(frozen=True)
class Load:
    """How rows are offered. None: not stated."""

    arrival: Arrival = "burst"
    rate_per_s: float | None = None
    concurrency: int | None = None
    limit: int | None = None
    duration_s: float | None = None
    seed: int = 1


def read_rows(path: Path, model: str) -> list[Row]:
    """The requests in a JSONL file: `{"messages": [...], "max_tokens": n, ...}`, other fields sent as they are.

    `timestamp_s` (for a trace) and `prompt_tokens` are for the client and not sent. `model` fills in where a line
    names none. Raises UserError with file and line for what is not such a request.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    rows = [_row(f"{path}, line {n}", line, model) for n, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise UserError(f'{path}: no requests; write one JSON object per line: {{"messages": [...], "max_tokens": 64}}')
    return rows


def _row(where: str, line: bytes, model: str) -> Row:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a JSON object with messages and max_tokens")
    _check_messages(where, value.get("messages"))
    tokens = next((value[key] for key in _TOKEN_KEYS if key in value), None)
    if type(tokens) is not int or tokens < 1:
        raise UserError(f"{where}: max_tokens is {json.dumps(tokens)}; expected a positive integer")
    prompt = value.get("prompt_tokens", 0)
    if type(prompt) is not int or prompt < 0:
        raise UserError(f"{where}: prompt_tokens is {json.dumps(prompt)}; expected a count")
    at = value.get("timestamp_s")
    if at is not None and (type(at) not in (int, float) or not math.isfinite(at)):
        raise UserError(f"{where}: timestamp_s is {json.dumps(at)}; expected a number of seconds")
    body = {"model": model, "stream": True} | {key: value[key] for key in value if key not in _OWN_KEYS}
    if body["stream"]:
        body.setdefault("stream_options", {"include_usage": True})
    return Row(orjson.dumps(body), tokens, prompt, value.get("ignore_eos") is True, at)


def _check_messages(where: str, messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise UserError(f"{where}: messages is missing or empty; expected a list of {{role, content}}")
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise UserError(f"{where}: a message is no object with a role")


def check(load: Load) -> None:
    """Raises UserError where the options of a load do not go together."""
    if load.arrival in OPEN and load.rate_per_s is None:
        raise UserError(f"--arrival {load.arrival} needs --rate, requests per second")
    if load.arrival not in OPEN and load.rate_per_s is not None:
        raise UserError(f"--rate is for --arrival {' and '.join(OPEN)}, not {load.arrival}")
    if load.arrival == "burst" and load.duration_s is not None:
        raise UserError("--duration does not go with --arrival burst, which starts all at once; use --arrival closed")


def schedule(rows: list[Row], load: Load, name: str) -> tuple[Offered, tuple[PlannedRequest, ...]]:
    """The requests in order of their absolute send times, and what they amount to.

    Rows are repeated from the first where more are asked for than there are. Without `limit` and `duration_s` each row
    is sent once. A closed load with a duration only is planned once and repeated by the loop.
    """
    check(load)
    times = _times(rows, load)
    requests = tuple(
        PlannedRequest(f"{name}/{i:04d}", row.body, at, row.max_tokens, row.prompt_tokens)
        for i, (row, at) in enumerate(times)
    )
    if not requests:
        raise UserError(f"no request falls into --duration {load.duration_s:g} s; lengthen it, or raise the rate")
    endless = is_endless(load)
    cap = load.concurrency or (1 if load.arrival == "closed" else min(len(requests), MAX_IN_FLIGHT))
    offered = Offered(
        name=name,
        arrival=load.arrival,
        requests=None if endless else len(requests),
        concurrency=cap,
        rate_per_s=load.rate_per_s,
        duration_s=load.duration_s,
    )
    return offered, requests


def is_endless(load: Load) -> bool:
    """Whether only the duration bounds the number of requests."""
    return load.arrival == "closed" and load.duration_s is not None and load.limit is None


def _times(rows: list[Row], load: Load) -> list[tuple[Row, float]]:
    if load.arrival == "trace":
        times = _trace(rows)
        return [pair for pair in times if load.duration_s is None or pair[1] <= load.duration_s][: load.limit]
    count = load.limit or len(rows)
    if load.arrival in OPEN:
        assert load.rate_per_s is not None
        if load.limit is None and load.duration_s is not None:
            # Enough for the duration with a probability near 1; what lies behind it is cut.
            mean = load.rate_per_s * load.duration_s
            count = math.ceil(mean + 10 * math.sqrt(mean) + 10)
        profile = Profile(name="p", arrival=load.arrival, requests=count, concurrency=1, rate_per_s=load.rate_per_s)  # type: ignore[arg-type]
        at = offsets(profile, load.seed)
        if load.duration_s is not None:
            at = [t for t in at if t <= load.duration_s]
    else:
        at = [0.0] * count
    return [(rows[i % len(rows)], t) for i, t in enumerate(at)]


def _trace(rows: list[Row]) -> list[tuple[Row, float]]:
    """Rows by their own times, from the first one's on."""
    for n, row in enumerate(rows, 1):
        if row.timestamp_s is None:
            raise UserError(f"--arrival trace: request {n} has no timestamp_s (seconds)")
    at = [row.timestamp_s or 0.0 for row in rows]
    for n, (before, after) in enumerate(pairwise(at), 2):
        if after < before:
            raise UserError(
                f"--arrival trace: timestamp_s of request {n} is before that of the one above; sort the file"
            )
    return [(row, t - at[0]) for row, t in zip(rows, at, strict=True)]
