"""Results of `vllm bench serve --save-result`, read as measurements of ours.

With `--save-detailed` the file has every request's times, and all our metrics follow from them by our own formulas. The
summary alone gives means and tails, enough to compare with. vLLM's TTFT and ITL are taken as it took them: on its event
loop, after its parse.
"""

import json
import math
from itertools import accumulate
from pathlib import Path
from typing import Any

from inferencebench.errors import UserError
from inferencebench.load.model import ChunkSample, Offered, RequestSample, Samples
from inferencebench.load.session import Part, Work

CLIENT = "vllm bench serve"
_DETAIL = ("input_lens", "output_lens", "ttfts", "itls", "start_times", "errors")
_SUMMARY = {"request_throughput": "requests_per_s", "output_throughput": "output_tokens_per_s"}
_LATENCIES = {"ttft": "ttft", "tpot": "tpot", "itl": "itl", "e2el": "latency"}


def recognized(value: Any) -> bool:
    """Whether a JSON document is such a result."""
    return isinstance(value, dict) and {"duration", "completed", *_SUMMARY} <= value.keys()


def read(path: Path) -> dict[str, Any]:
    """Such a file. Raises UserError for anything else."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    if not recognized(value):
        raise UserError(f"{path}: no result of `vllm bench serve --save-result` (duration, completed, …)")
    assert isinstance(value, dict)
    return value


def figures(value: dict[str, Any]) -> dict[str, float]:
    """The summary's figures by our names, in seconds."""
    found = {ours: float(value[theirs]) for theirs, ours in _SUMMARY.items()}
    for theirs, ours in _LATENCIES.items():
        for key, name in ((f"mean_{theirs}_ms", f"{ours}_s"), (f"p99_{theirs}_ms", f"{ours}_p99_s")):
            if isinstance(value.get(key), int | float):
                found[name] = value[key] / 1e3
    if isinstance(value.get("request_goodput"), int | float):
        found["goodput_per_s"] = float(value["request_goodput"])
    return found


def failures(value: dict[str, Any]) -> int:
    """How many requests failed; older files only say how many were asked for."""
    failed = value.get("failed", value.get("num_prompts", value["completed"]) - value["completed"])
    return int(failed)


def samples(path: Path, value: dict[str, Any]) -> Samples:
    """Its requests and chunks. Times count from the first send; one chunk per ITL, of unknown size and text.

    Raises UserError where the file has no details, or ones that do not fit together.
    """
    missing = [key for key in _DETAIL if not isinstance(value.get(key), list)]
    if missing:
        raise UserError(f"{path}: no {missing[0]}; run `vllm bench serve` with --save-detailed to keep every request")
    columns = [value[key] for key in _DETAIL]
    if len({len(column) for column in columns}) != 1:
        raise UserError(f"{path}: {', '.join(_DETAIL)} differ in length")
    start = min(value["start_times"], default=0.0)
    requests: list[RequestSample] = []
    chunks: list[ChunkSample] = []
    try:
        for index, row in enumerate(zip(*columns, strict=True)):
            _take(f"{CLIENT}/{index:04d}", row, start, requests, chunks)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: request {index}: not the times and counts of a request ({error})") from None
    return Samples(requests, chunks)


def _take(name: str, row: Any, start: float, requests: list[RequestSample], chunks: list[ChunkSample]) -> None:
    prompt, output, ttft, itls, sent, error = row
    sent_s = sent - start
    times = list(accumulate([sent_s + ttft, *itls]))
    ok = not error and output > 0
    if ok:
        chunks += [ChunkSample(name, i, start + t, 0, "", coalesced=False) for i, t in enumerate(times)]
    row_sample = RequestSample(
        id=name, profile=CLIENT, ok=ok, error=None if ok else str(error or "no content").splitlines()[-1][:80],
        status=None, scheduled_s=sent_s, sent_s=sent_s, first_s=times[0] if ok else None,
        end_s=times[-1] if ok else None, prompt_tokens=prompt, max_tokens=max(1, output), usage_prompt_tokens=None,
        usage_completion_tokens=None, cached_tokens=None, output_tokens=output if ok else None,
        first_chunk_tokens=1 if ok else None, finish_reason=None, text="", chunks=len(times) if ok else 0,
        counted_tokens=output if ok else None, closed_s=times[-1], client=CLIENT, start_s=start,
    )  # fmt: skip
    requests.append(row_sample)


def work(path: Path, value: dict[str, Any]) -> Work:
    """What was offered, as far as the file says it."""
    rate = float(value.get("request_rate", math.inf))
    count = int(value.get("num_prompts", value["completed"]))
    offered = Offered(
        name=CLIENT,
        arrival="burst" if math.isinf(rate) else "poisson",
        requests=count,
        concurrency=int(value.get("max_concurrency") or count or 1),
        rate_per_s=None if math.isinf(rate) else rate,
    )
    return Work(
        source=path.name,
        model=str(value.get("model_id", "")),
        parts=(Part(offered, ()),),
        tokens_counted_by=f"{CLIENT}, tokenizer of {value.get('tokenizer_id', 'the model')}",
    )
