"""Stream and content checks on synthetic recordings: honest servers pass, each trick is caught by its check."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from inferencebench.doctor.hardware import Peaks
from inferencebench.gates.integrity.content import Margins, OpeningMargins, RepeatUnique, WrongAnswers
from inferencebench.gates.integrity.likelihood import Likelihood, Score
from inferencebench.gates.integrity.model import Evidence, Verdict
from inferencebench.gates.integrity.streams import FirstGap, FirstToken, HoldThenFlush, TtftSlope
from inferencebench.gates.integrity.texts import CannedText
from inferencebench.gates.quality import Answer
from inferencebench.load.model import ChunkSample, RequestSample
from inferencebench.suites import load as suites
from inferencebench.workload.model import Message, SpeedRequest

CPU = Peaks(tflops={"f32": 0.83, "bf16": 1.66, "int8": 3.33}, bandwidth_gb_per_s=1664, provenance="test")
PER_PROMPT_TOKEN_S, TPOT_S = 4e-3, 12e-3
Stream = tuple[RequestSample, list[ChunkSample]]


def stream(
    number: int, *, tokens: int = 60, prompt: int = 400, words: list[str] | None = None, id: str | None = None
) -> Stream:
    """One answer of an honest server: a chunk a token, the first after reading the prompt."""
    source = random.Random(number)
    text = words or [
        source.choice(["river", "stone", "lamp", "cloud", "engine", "winter", "garden"]) + " " for _ in range(tokens)
    ]
    sent, first = 10.0 * number, 10.0 * number + prompt * PER_PROMPT_TOKEN_S
    times = [first + i * TPOT_S * source.uniform(0.8, 1.2) for i in range(tokens)]
    times = sorted(times)
    name = id or f"burst/{number:04d}"
    chunks = [ChunkSample(name, i, t, 90, text[i], False, None) for i, t in enumerate(times)]
    sample = RequestSample(
        id=name, profile="burst", ok=True, error=None, status=200, scheduled_s=sent, sent_s=sent, first_s=times[0],
        end_s=times[-1], prompt_tokens=prompt, max_tokens=tokens, usage_prompt_tokens=prompt,
        usage_completion_tokens=tokens, cached_tokens=0, output_tokens=tokens, counted_tokens=tokens,
        first_chunk_tokens=1, finish_reason="length", text="".join(text), chunks=tokens, start_s=0.0,
    )  # fmt: skip
    return sample, chunks


def evidence(
    streams: list[Stream], shorts: Sequence[Stream] = (), scenario: str = "prefill", **more: object
) -> Evidence:
    suite = suites.load("laptop")
    planned = [_planned(sample) for sample, _ in streams]
    found = Evidence(
        suite,
        suites.scenario(suite, scenario),
        CPU,
        tuple(sample for sample, _ in streams),
        tuple(chunk for _, chunks in streams for chunk in chunks),
        tuple(planned),
        survivors=(),
        shorts=tuple(sample for sample, _ in shorts),
    )
    return replace(found, **more)  # type: ignore[arg-type]


def _planned(sample: RequestSample, of: str = "") -> SpeedRequest:
    return SpeedRequest(
        id=sample.id, profile="burst", messages=(Message(role="user", content="x"),),
        prompt_tokens=sample.prompt_tokens, max_tokens=sample.max_tokens, temperature=0.2, seed=1, offset_s=0.0,
        probe="repeat" if of else "", of=of,
    )  # fmt: skip


def honest(count: int = 6) -> list[Stream]:
    return [stream(n, prompt=380 + 10 * n) for n in range(count)]


def at_once(text: str) -> Callable[[Stream], Stream]:
    """Put a chunk 2 ms after the send, before the engine's own."""

    def change(one: Stream) -> Stream:
        sample, chunks = one
        early = (sample.sent_s or 0.0) + 0.002
        later = [c._replace(chunk=c.chunk + 1) for c in chunks]
        first = ChunkSample(sample.id, 0, early, 90, text, False, None)
        return sample.model_copy(update={"first_s": early, "text": text + sample.text}), [first, *later]

    return change


def held(one: Stream) -> Stream:
    """Keep all tokens until the last, then stream them 2 ms apart."""
    sample, chunks = one
    last = chunks[-1].t_s
    flushed = [c._replace(t_s=last + 0.002 * i) for i, c in enumerate(chunks)]
    return sample.model_copy(update={"first_s": last, "end_s": flushed[-1].t_s}), flushed


SHORTS = [stream(100 + n, tokens=8, id=f"burst/s{n}") for n in range(2)]


def test_honest_streams_pass_every_check() -> None:
    found = evidence(honest(), SHORTS, scenario="decode")
    for check in (FirstGap(), FirstToken(), HoldThenFlush()):
        result = check.run(found)
        assert result.verdict is Verdict.PASS, (check.name, result.reason)
    assert TtftSlope().run(found).verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("text", "checks"),
    [("The ", {"first-gap"}), (" ", {"first-gap", "first-token"}), ("\u200b", {"first-gap", "first-token"})],
)
def test_a_first_token_that_was_none(text: str, checks: set[str]) -> None:
    found = evidence([at_once(text)(one) for one in honest()], SHORTS, scenario="decode")
    caught = {c.name for c in (FirstGap(), FirstToken(), HoldThenFlush()) if c.run(found).verdict is Verdict.FAIL}
    assert caught == checks


def test_tokens_held_back_and_flushed() -> None:
    found = evidence([held(one) for one in honest()], [held(one) for one in SHORTS], scenario="decode")
    result = HoldThenFlush().run(found)
    assert result.verdict is Verdict.FAIL
    assert result.numbers["end_to_end_s_per_token"] > 3 * result.numbers["tpot_s"]


def test_ids_that_come_again_in_a_second_launch_are_two_streams() -> None:
    twice = honest() + honest()
    found = evidence(twice, SHORTS)
    assert FirstToken().run(found).sample_size == len(twice)
    assert FirstToken().run(found).verdict is Verdict.PASS


def test_a_slope_under_the_floor_fails_and_an_honest_one_passes() -> None:
    spread = [stream(n, prompt=64 * 2 ** (n % 4)) for n in range(12)]
    assert TtftSlope().run(evidence(spread)).verdict is Verdict.PASS
    flat = [(s.model_copy(update={"first_s": (s.sent_s or 0.0) + 0.05}), c) for s, c in spread]
    assert TtftSlope().run(evidence(flat)).verdict is Verdict.FAIL


def repeats(kept: bool, faster: float = 1.0) -> Evidence:
    streams = honest()
    sample, chunks = stream(50, prompt=400, id="burst/r000")
    if kept:
        sample = sample.model_copy(update={"text": streams[1][0].text})
    first = (sample.sent_s or 0.0) + faster * ((sample.first_s or 0.0) - (sample.sent_s or 0.0))
    sample = sample.model_copy(update={"first_s": first})
    found = evidence([*streams, (sample, chunks)])
    return replace(found, planned=(*found.planned[:-1], _planned(sample, of="burst/0001")))


@pytest.mark.parametrize(
    ("kept", "faster", "logp", "verdict"),
    [
        (False, 1.0, None, Verdict.PASS),
        (False, 0.2, None, Verdict.REVIEW),
        (True, 1.0, None, Verdict.REVIEW),
        (True, 1.0, -0.2, Verdict.PASS),
        (True, 1.0, -9.0, Verdict.REVIEW),
        (True, 1.0, -30.0, Verdict.FAIL),
        (True, 0.001, -0.2, Verdict.FAIL),
    ],
)
def test_a_document_asked_about_again(kept: bool, faster: float, logp: float | None, verdict: Verdict) -> None:
    """A text that the model nearly always gives proves nothing, unless it was there before the prompt was read."""
    scored = rows(0.0, 1)[0].model_copy(update={"id": "burst/r000", "logp_nats": logp})
    found = replace(repeats(kept, faster), likelihoods=(scored,))
    assert RepeatUnique().run(found).verdict is verdict


def test_a_kept_text_that_comes_at_once_was_stored() -> None:
    found = repeats(True, 1.0)
    *others, again = found.requests
    sent = again.sent_s or 0.0
    scored = rows(0.0, 1)[0].model_copy(update={"id": again.id, "logp_nats": -0.2})
    for whole_s, verdict in ((0.03, Verdict.FAIL), (0.6, Verdict.REVIEW)):
        quick = again.model_copy(update={"first_s": sent + whole_s / 3, "end_s": sent + whole_s})
        seen = replace(found, requests=(*others, quick), likelihoods=(scored,))
        assert RepeatUnique().run(seen).verdict is verdict


def test_texts_of_random_weights_never_come_twice() -> None:
    suite = suites.load("h100-random-7b")
    for kept, verdict in ((True, Verdict.FAIL), (False, Verdict.PASS)):
        found = replace(repeats(kept, 1.0), suite=suite, scenario=suites.scenario(suite, "prefill"))
        assert RepeatUnique().run(found).verdict is verdict


def test_a_kept_text_is_no_canned_one() -> None:
    found = repeats(True, 1.0)
    assert CannedText().run(found).verdict is Verdict.PASS
    unmarked = tuple(r.model_copy(update={"probe": "", "of": ""}) for r in found.planned)
    assert CannedText().run(replace(found, planned=unmarked)).verdict is Verdict.REVIEW


def rows(nats: float, count: int = 4, tokens: int = 150) -> tuple[Likelihood, ...]:
    one = Score(tokens=tokens, deficit_nats=nats * tokens, variance_nats2=tokens * 0.8, top1=tokens // 2)
    opening = Score(tokens=16, deficit_nats=nats * 16, variance_nats2=13.0, top1=8)
    return tuple(Likelihood(id=f"burst/{n:04d}", whole=one, opening=opening) for n in range(count))


@pytest.mark.parametrize(
    ("nats", "verdict"),
    [(0.0, Verdict.PASS), (0.25, Verdict.PASS), (1.0, Verdict.FAIL), (-0.1, Verdict.PASS), (-1.2, Verdict.FAIL)],
)
def test_margins_are_judged_by_what_is_sure(nats: float, verdict: Verdict) -> None:
    found = evidence(honest(), likelihoods=rows(nats), reference_likelihoods=rows(0.0))
    assert Margins().run(found).verdict is verdict


def test_texts_that_scatter_as_no_honest_ones_do_are_no_excuse() -> None:
    """Half of the texts are another model's: the mean is far off, and its own standard error is large."""
    mixed = (*rows(0.0, 4), *(r.model_copy(update={"id": f"{r.id}x"}) for r in rows(2.4, 4)))
    found = Margins().run(evidence(honest(), likelihoods=mixed, reference_likelihoods=rows(0.0)))
    assert found.numbers["deficit_nats"] - 3 * found.numbers["standard_error_nats"] < 0.3
    assert found.verdict is Verdict.FAIL


def test_margins_need_a_reference_and_real_weights() -> None:
    assert Margins().run(evidence(honest())).verdict is Verdict.NOT_APPLICABLE
    assert OpeningMargins().run(evidence(honest(), likelihoods=rows(2.0))).verdict is Verdict.NOT_APPLICABLE
    found = evidence(honest(), likelihoods=rows(3.0), reference_likelihoods=rows(0.0))
    assert OpeningMargins().run(found).verdict is Verdict.FAIL
    random_suite = replace(found, suite=suites.load("h100-random-7b"))
    assert Margins().run(random_suite).verdict is Verdict.NOT_APPLICABLE


def answers(parsed: list[str], gold: str = "right") -> tuple[Answer, ...]:
    return tuple(
        Answer(question_id=f"q{n}", text=p, error=None, parsed=p, correct=p == gold) for n, p in enumerate(parsed)
    )


def test_another_model_makes_mistakes_of_its_own() -> None:
    reference = answers(["wrong a"] * 20 + ["right"] * 20)
    same = evidence(honest(), answers=reference, reference_answers=reference)
    other = evidence(honest(), answers=answers(["wrong b"] * 20 + ["right"] * 20), reference_answers=reference)
    mixed = answers(["wrong a"] * 10 + ["wrong b"] * 10 + ["right"] * 20)
    half = evidence(honest(), answers=mixed, reference_answers=reference)
    few = evidence(honest(), answers=reference[:3], reference_answers=reference)
    verdicts = [WrongAnswers().run(found).verdict for found in (same, half, other, few)]
    assert verdicts == [Verdict.PASS, Verdict.REVIEW, Verdict.FAIL, Verdict.NOT_APPLICABLE]
    on_random_weights = WrongAnswers().run(replace(other, suite=suites.load("h100-random-7b")))
    assert on_random_weights.verdict is Verdict.NOT_APPLICABLE
