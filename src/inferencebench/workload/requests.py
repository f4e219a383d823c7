"""Request sets: (suite, scenario, seed, salt) to timed requests that are exact to the token.

What holds for every set: prompts are windows of documents that no two requests share (but for the probes of the
integrity gate, see `probes`); the dev and the eval side use
different documents; every prompt begins with its own nonce line; equal inputs give equal bytes; and nothing of the
eval side follows from public data without the salt.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from inferencebench.errors import UserError
from inferencebench.suites.model import Scenario, Suite
from inferencebench.workload import canary
from inferencebench.workload.corpus import CorpusText, Document
from inferencebench.workload.draws import Draws, digest, split_halves
from inferencebench.workload.fit import fit_prompt, prompt_message
from inferencebench.workload.model import RequestSet, SpeedRequest
from inferencebench.workload.probes import Probe, placed, probes
from inferencebench.workload.records import read_records, write_records
from inferencebench.workload.tokens import ChatTokenizer, Span

Side = Literal["dev", "eval"]

WARMUP = "warmup"
MIN_TEXT_TOKENS = 4
"""Corpus tokens that the shortest prompt must have besides template and nonce."""
CHUNK_WINDOWS = 16
"""Documents that may be joined are joined to about this many windows: few tokens are lost at the ends, and a small set
does not tokenize the whole corpus."""
CHARS_PER_TOKEN = 4
POOL_FACTOR = 2
"""Windows cut per window needed, where the corpus allows: documents are tokenized until the pool is that large."""


NO_PROBE = Probe("", "", "", "", None)


class _Slot(NamedTuple):
    """One request before it has a prompt."""

    id: str
    profile: str
    nonce: str
    prompt_tokens: int
    max_tokens: int
    seed: int
    offset_s: float
    probe: Probe = NO_PROBE


class _Half(NamedTuple):
    """The documents of a corpus that one side draws from."""

    side: Side
    documents: list[Document]
    corpus: CorpusText


def build_requests(
    suite: Suite,
    scenario: Scenario,
    *,
    seed: int,
    side: Side,
    salt: bytes,
    tokenizer: ChatTokenizer,
    corpus: CorpusText,
    out: Path,
) -> RequestSet:
    """Write the request set of one side of a seed pair to the file `out`, warm-up requests first.

    Raises `UserError` when the scenario needs more text than the corpus has, or prompts too short for their template.
    """
    draws = Draws(salt, seed, side, scenario.name)
    slots = _slots(suite, scenario, draws, seed=seed, side=side, salt=salt)
    drawn = Draws(salt, seed, side, scenario.name, "probes")
    extra = probes(scenario, drawn, canaries=canary.capable(suite)) if side == "eval" else []
    slots += [_probe_slot(suite, scenario, draws, probe, salt, seed) for probe in extra]
    overhead = max(tokenizer.prompt_tokens([prompt_message(slot.nonce, "")]) for slot in slots)
    where = f"suite {suite.name}, scenario {scenario.name}"
    _check_length(where, suite, scenario, overhead)
    halves = split_halves(corpus.documents, salt, f"documents|{corpus.name}", lambda document: document.id)
    half = _Half(side, halves[side == "eval"], corpus)
    chosen = _chosen(where, half, scenario.input_tokens, slots, draws, tokenizer)
    requests = [
        SpeedRequest(
            id=slot.id,
            profile=slot.profile,
            messages=(fit_prompt(chosen[slot.id], slot.nonce, slot.prompt_tokens, tokenizer, _dress(slot, salt)),),
            prompt_tokens=slot.prompt_tokens,
            max_tokens=slot.max_tokens,
            temperature=scenario.temperature,
            seed=slot.seed,
            offset_s=slot.offset_s,
            probe=slot.probe.kind,
            of=slot.probe.of,
        )
        for slot in slots
    ]
    ordered = placed(requests, Draws(salt, seed, side, scenario.name, "places"))
    return RequestSet(out, write_records(out, ordered), ordered)


def read_requests(path: Path) -> RequestSet:
    """A request set that `build_requests` wrote. Raises `UserError` for a damaged or missing file."""
    requests, sha256 = read_records(path, SpeedRequest)
    return RequestSet(path, sha256, requests)


def _slots(suite: Suite, scenario: Scenario, draws: Draws, *, seed: int, side: Side, salt: bytes) -> list[_Slot]:
    """Lengths, seeds, nonces and arrivals of all requests: warm-up, then each profile in the suite's order."""
    from inferencebench.load.arrivals import offsets

    plan: list[tuple[str, tuple[float, ...]]] = [(WARMUP, (0.0,) * scenario.warmup_requests)]
    for profile in scenario.profiles:
        arrival_seed = int.from_bytes(digest(salt, seed, side, scenario.name, "arrivals", profile.name)[:4], "big")
        plan.append((profile.name, tuple(offsets(profile, arrival_seed))))
    return [
        _Slot(
            id=(request_id := f"{profile_name}/{number:04d}"),
            profile=profile_name,
            nonce=digest(salt, seed, side, scenario.name, "nonce", request_id).hex()[:16],
            prompt_tokens=draws.integer(math.ceil(suite.range_ratio * scenario.input_tokens), scenario.input_tokens),
            max_tokens=_output_tokens(suite, scenario, profile_name, draws),
            seed=draws.integer(0, 2**31 - 1),
            offset_s=offset,
        )
        for profile_name, profile_offsets in plan
        for number, offset in enumerate(profile_offsets)
    ]


def _probe_slot(suite: Suite, scenario: Scenario, draws: Draws, probe: Probe, salt: bytes, seed: int) -> _Slot:
    """A probe with the lengths of timed traffic, or its own output length."""
    drawn = _output_tokens(suite, scenario, probe.profile, draws)
    return _Slot(
        id=probe.id,
        profile=probe.profile,
        nonce=digest(salt, seed, "eval", scenario.name, "nonce", probe.id).hex()[:16],
        prompt_tokens=draws.integer(math.ceil(suite.range_ratio * scenario.input_tokens), scenario.input_tokens),
        max_tokens=probe.max_tokens or drawn,
        seed=draws.integer(0, 2**31 - 1),
        offset_s=0.0,
        probe=probe,
    )


def _dress(slot: _Slot, salt: bytes) -> Callable[[str], str]:
    """What a prompt holds besides its document: a canary's code, at one depth for both of a pair, and its question."""
    if slot.probe.kind != "canary":
        return lambda text: text
    depth = digest(salt, "canary depth", slot.probe.of or slot.id)[0] / 256
    return canary.planting(canary.code_of_digest(digest(salt, "canary code", slot.nonce)), depth)


def _output_tokens(suite: Suite, scenario: Scenario, profile: str, draws: Draws) -> int:
    """The forced output length. It is drawn for warm-up requests too, so that a suite's shorter ones shift no draw."""
    drawn = draws.integer(math.ceil(suite.range_ratio * scenario.output_tokens), scenario.output_tokens)
    return scenario.warmup_output_tokens or drawn if profile == WARMUP else drawn


def _check_length(where: str, suite: Suite, scenario: Scenario, overhead: int) -> None:
    shortest = math.ceil(suite.range_ratio * scenario.input_tokens)
    if shortest < overhead + MIN_TEXT_TOKENS:
        least = math.ceil((overhead + MIN_TEXT_TOKENS) / suite.range_ratio)
        raise UserError(
            f"{where}: input_tokens = {scenario.input_tokens} draws prompts down to {shortest} tokens, but chat "
            f"template and nonce alone take {overhead}; set input_tokens to at least {least}"
        )


def _chosen(
    where: str, half: _Half, input_tokens: int, slots: list[_Slot], draws: Draws, tokenizer: ChatTokenizer
) -> dict[str, str]:
    """The window of each request by its id: a repeat has its source's, and no two others share one."""
    # A window of the largest content: what the template and the nonce take is not needed from the corpus.
    tokens = input_tokens - tokenizer.prompt_tokens([prompt_message("", "")])
    needed = sum(not slot.probe.of for slot in slots)
    windows = _windows(draws.shuffled(half.documents), tokens, needed, half.corpus, tokenizer)
    if len(windows) < needed:
        raise UserError(
            f"{where}: needs {needed} prompts of {input_tokens} tokens, but the {half.side} half of corpus "
            f"{half.corpus.name} ({len(half.documents)} documents) holds {len(windows)}; lower requests or "
            f"input_tokens, or use a larger corpus"
        )
    fresh = iter(draws.shuffled(windows)[:needed])
    chosen: dict[str, str] = {}
    for slot in slots:  # sources come before their repeats
        chosen[slot.id] = chosen[slot.probe.of] if slot.probe.of else next(fresh)
    return chosen


def _windows(
    documents: list[Document], tokens: int, needed: int, corpus: CorpusText, tokenizer: ChatTokenizer
) -> list[str]:
    """Non-overlapping stretches of `tokens` tokens, from as many of the documents, in order, as the pool wants."""
    chunk_chars = CHUNK_WINDOWS * tokens * CHARS_PER_TOKEN if corpus.concatenate else 0
    windows: list[str] = []
    for text in _chunks(documents, chunk_chars):
        if len(windows) >= POOL_FACTOR * needed:
            break
        windows.extend(_cut(text, tokenizer.spans(text), tokens))
    return windows


def _chunks(documents: list[Document], least_chars: int) -> Iterator[str]:
    """Consecutive documents joined until they have `least_chars` characters."""
    gathered: list[str] = []
    for document in documents:
        gathered.append(document.text)
        if sum(map(len, gathered)) >= least_chars:
            yield "\n\n".join(gathered)
            gathered = []
    if gathered:
        yield "\n\n".join(gathered)


def _cut(text: str, spans: list[Span], tokens: int) -> Iterator[str]:
    """Consecutive stretches of `tokens` tokens, each beginning with a visible character."""
    start = 0
    while start + tokens <= len(spans):
        if text[spans[start].start : spans[start].end].isspace():
            start += 1
            continue
        yield text[spans[start].start : spans[start + tokens - 1].end]
        start += tokens
