"""What to measure with, from a suite's scenario or from a file of requests."""

import secrets
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from inferencebench.errors import MissingError, UserError
from inferencebench.load.dataset import Load, Row, read_rows, schedule
from inferencebench.load.model import PlannedRequest
from inferencebench.load.session import WARMUP, CountTokens, Part, Work
from inferencebench.load.wire import planned
from inferencebench.paths import cache_dir
from inferencebench.suites import load as suites
from inferencebench.suites.model import Profile, Scenario


def from_suite(
    suite_name: str,
    scenario_name: str,
    model: str,
    load: Load | None = None,
    *,
    tokenizer: Path | None = None,
    limit: int | None = None,
    warmup: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Work:
    """A suite's scenario with a fresh salt, so that no server has seen its prompts.

    Its own profiles, of at most `limit` requests each; or its prompts under `load`. `tokenizer`: a checkpoint's
    directory instead of the suite's own. `warmup`: instead of the scenario's own number. Raises UserError for unknown
    names, MissingError when the checkpoint cannot be had.
    """
    from inferencebench.models.store import ensure_checkpoint
    from inferencebench.workload.corpus import load_corpus
    from inferencebench.workload.requests import build_requests
    from inferencebench.workload.tokens import ChatTokenizer

    suite = suites.load(suite_name)
    scenario = _shortened(suites.scenario(suite, scenario_name), load, limit, warmup)
    chat = ChatTokenizer.load(tokenizer or ensure_checkpoint(suite.model, cache_dir(), progress=progress).path)
    with tempfile.TemporaryDirectory(prefix="inferencebench-") as folder:
        requests = build_requests(
            suite, scenario, seed=suite.seed_pairs[0].dev, side="dev", salt=secrets.token_bytes(32), tokenizer=chat,
            corpus=load_corpus(suite.corpus), out=Path(folder) / "requests.jsonl",
        ).requests  # fmt: skip
    prompts = [planned(request, model) for request in requests if request.profile != WARMUP]
    work = Work(
        source=f"suite {suite.name}, scenario {scenario.name.value}",
        model=model,
        parts=tuple(
            Part(profile, tuple(p for p in prompts if p.id.startswith(f"{profile.name}/")))
            for profile in scenario.profiles
        ),
        warmup=tuple(planned(request, model) for request in requests if request.profile == WARMUP),
        count_tokens=chat.count,
        tokens_counted_by=f"tokenizer of {suite.model.id if tokenizer is None else tokenizer}",
        forced_length=True,
        min_success_rate=suite.min_success_rate,
        request_timeout_s=suite.limits.request_s,
    )
    if load is None:
        return work
    return with_load(work, [Row(p.body, p.max_tokens, p.prompt_tokens, True, None) for p in prompts], load)


def _shortened(scenario: Scenario, load: Load | None, limit: int | None, warmup: int | None) -> Scenario:
    """The scenario as asked for. Under a load of its own it is only a source of prompts: `limit` of them."""
    first = scenario.profiles[0]
    if load is None:
        profiles = tuple(
            p.model_copy(update={"requests": min(limit or p.requests, p.requests)}) for p in scenario.profiles
        )
    else:
        count = load.limit or first.requests
        profiles = (Profile(name="prompts", arrival="burst", requests=count, concurrency=1),)
    count = scenario.warmup_requests if warmup is None else warmup
    return scenario.model_copy(update={"profiles": profiles, "warmup_requests": count})


def from_file(path: Path, model: str, load: Load, *, tokenizer: Path | None = None, warmup: int = 1) -> Work:
    """The requests of a JSONL file under `load`; the first `warmup` of them, repeated as needed, warm up.

    Raises UserError for a bad file or a load whose parts do not go together.
    """
    rows = read_rows(path, model)
    return with_load(
        Work(
            source=path.name,
            model=model,
            parts=(),
            warmup=tuple(_warm(rows[i % len(rows)], i) for i in range(warmup)),
            count_tokens=None if tokenizer is None else counter(tokenizer),
            tokens_counted_by="server usage" if tokenizer is None else f"tokenizer of {tokenizer}",
            forced_length=all(row.forced_length for row in rows),
        ),
        rows,
        load,
    )


def with_load(work: Work, rows: list[Row], load: Load) -> Work:
    """The same work with `rows` offered by `load`."""
    return replace(work, parts=(Part(*schedule(rows, load, load.arrival)),))


def _warm(row: Row, number: int) -> PlannedRequest:
    return PlannedRequest(f"{WARMUP}/{number:04d}", row.body, 0.0, row.max_tokens, row.prompt_tokens)


def counter(path: Path) -> CountTokens:
    """Counts tokens by a `tokenizer.json`, or by the one in a checkpoint's directory.

    Raises UserError where there is none, MissingError without the tokenizers package.
    """
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{file}: no such file; --tokenizer takes a tokenizer.json or a checkpoint's directory")
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingError("tokenizers is not installed: pip install 'inferencebench[torch]'") from None
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:
        # The Rust side raises plain Exception for a file that it cannot read.
        raise UserError(f"{file}: no tokenizer ({error})") from None

    def count(texts: Sequence[str]) -> list[int]:
        return [len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    return count
