"""A recording to samples: one row per request, one per content event. Runs after the load, at leisure."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from inferencebench.load.delta import Reply
from inferencebench.load.model import ChunkSample, Exchange, Recording, RequestSample, Samples
from inferencebench.load.quiet import no_collection
from inferencebench.load.reply import read_reply

USAGE_TOLERANCE_TOKENS = 3
USAGE_TOLERANCE_SHARE = 0.02


def samples(recording: Recording, count_tokens: Callable[[Sequence[str]], list[int]] | None) -> Samples:
    """Parse every exchange: HTTP, SSE or JSON, deltas, usage, tokens.

    `count_tokens` gives the number of tokens of each text under the base model's tokenizer, without special tokens.
    None: no tokenizer is at hand, and the server's usage is believed (see `reported_tokens`).
    Times of requests are seconds after the profile's start, those of chunks absolute CLOCK_MONOTONIC seconds; both are
    the kernel's receive times where it gave them. A role-only or empty event is no token and starts no clock.
    `output_tokens` is the re-tokenized count, `counted_tokens` the one that metrics use (see `counted_tokens`).
    """
    chunks: list[ChunkSample] = []
    replies, texts, firsts = [], [], []
    known: dict[str, str] = {}
    with no_collection():
        for exchange in recording.exchanges:
            reply = read_reply(exchange)
            texts.append("".join([delta.text for delta in reply.deltas]))
            firsts.append(reply.deltas[0].text if reply.deltas else "")
            at = len(chunks)
            chunks += _chunks(exchange, reply, known)
            # The deltas are in the chunks now: held for every request at once they would double the memory.
            reply.deltas.clear()
            own = len(chunks) - at
            first_s, last_s = (chunks[at].t_s, chunks[-1].t_s) if own else (None, None)
            replies.append(_Parsed(exchange, reply, first_s, last_s, own))
    tokens = _reported(replies) if count_tokens is None else _retokenized(replies, texts, firsts, count_tokens)
    requests = [
        _request(recording, parsed, text, counted) for parsed, text, counted in zip(replies, texts, tokens, strict=True)
    ]
    return Samples(requests, chunks)


class _Tokens(NamedTuple):
    """Token counts of one reply with content, as the fields of `RequestSample`."""

    output: int | None
    first_chunk: int
    counted: int


class _Parsed(NamedTuple):
    """One exchange, its reply, and the absolute times of its first and last content."""

    exchange: Exchange
    reply: Reply
    first_s: float | None
    last_s: float | None
    chunks: int


def merge(parts: Iterable[Samples]) -> Samples:
    """The samples of several profiles as one; `inferencebench.load.metrics.by_profile` takes them apart again."""
    requests: list[RequestSample] = []
    chunks: list[ChunkSample] = []
    for part in parts:
        requests += part.requests
        chunks += part.chunks
    return Samples(requests, chunks)


def counted_tokens(retokenized: int, usage: int | None, max_tokens: int) -> int:
    """The output tokens a request is credited with.

    Re-tokenized text is not canonical and hides end-of-sequence and special tokens, so an honest count may differ from
    it a little. The server's usage count is taken when it is within max(3, 2 %) of the re-tokenized count and not above
    `max_tokens`; else the re-tokenized count, at most `max_tokens`: a request earns no more than it asked for.
    """
    if usage is not None and usage <= max_tokens:
        tolerance = max(USAGE_TOLERANCE_TOKENS, USAGE_TOLERANCE_SHARE * retokenized)
        if abs(usage - retokenized) <= tolerance:
            return usage
    return min(retokenized, max_tokens)


def reported_tokens(usage: int | None, chunks: int, max_tokens: int) -> int:
    """The output tokens of a request without a tokenizer: the server's usage, else its chunks; at most `max_tokens`."""
    return min(chunks if usage is None else usage, max_tokens)


def _retokenized(
    replies: Sequence[_Parsed], texts: list[str], firsts: list[str], count: Callable[[Sequence[str]], list[int]]
) -> list[_Tokens]:
    counts = count(texts + firsts)
    return [
        _Tokens(
            total,
            max(1, first),
            counted_tokens(total, parsed.reply.usage.completion_tokens, parsed.exchange.max_tokens),
        )
        for parsed, total, first in zip(replies, counts, counts[len(texts) :], strict=False)
    ]


def _reported(replies: Sequence[_Parsed]) -> list[_Tokens]:
    """Without a tokenizer a first chunk counts as one token, unless it is the only one."""
    rows = []
    for parsed in replies:
        total = reported_tokens(parsed.reply.usage.completion_tokens, parsed.chunks, parsed.exchange.max_tokens)
        rows.append(_Tokens(None, total if parsed.chunks == 1 else 1, total))
    return rows


def _chunks(exchange: Exchange, reply: Reply, known: dict[str, str]) -> list[ChunkSample]:
    """The content events with their times. Equal texts share one object: a long run repeats few."""
    rows = []
    kernel, user = exchange.kernel_ns, exchange.user_ns
    previous, t_s, lag = -1, 0.0, None
    for index, (text, read, size) in enumerate(reply.deltas):
        if read != previous:
            stamp = kernel[read]
            lag = (user[read] - stamp) / 1e9 if stamp else None
            t_s = (stamp or user[read]) / 1e9
        rows.append(ChunkSample(exchange.id, index, t_s, size, known.setdefault(text, text), read == previous, lag))
        previous = read
    return rows


def _request(recording: Recording, parsed: _Parsed, text: str, tokens: _Tokens) -> RequestSample:
    exchange, reply, start_s = parsed.exchange, parsed.reply, recording.start_ns / 1e9
    usage = reply.usage
    content = parsed.chunks > 0

    def since_start(ns: int | None) -> float | None:
        return None if ns is None else (ns - recording.start_ns) / 1e9

    return RequestSample(
        id=exchange.id,
        profile=recording.profile.name,
        ok=reply.error is None,
        error=reply.error,
        status=reply.status,
        scheduled_s=exchange.offset_s,
        sent_s=since_start(exchange.sent_ns),
        first_s=None if parsed.first_s is None else parsed.first_s - start_s,
        end_s=None if parsed.last_s is None else parsed.last_s - start_s,
        prompt_tokens=exchange.prompt_tokens,
        max_tokens=exchange.max_tokens,
        usage_prompt_tokens=usage.prompt_tokens,
        usage_completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        output_tokens=tokens.output if content else None,
        first_chunk_tokens=tokens.first_chunk if content else None,
        finish_reason=reply.finish_reason,
        text=text,
        chunks=parsed.chunks,
        counted_tokens=tokens.counted if content else None,
        due_s=since_start(exchange.due_ns),
        closed_s=since_start(exchange.ended_ns),
        connect_s=exchange.connect_s,
        attempts=exchange.attempts,
        detail=reply.detail,
        client=recording.client,
        body_bytes=exchange.body_bytes,
        start_s=start_s,
    )
