"""Secrets that are split between pieces, and usage in replies of any shape."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferencebench.agents.meter import ReplyMeter
from inferencebench.agents.providers import ANTHROPIC, GEMINI, OPENAI, PLACEHOLDER, Provider
from inferencebench.agents.proxy import Scrubber
from inferencebench.agents.usage import Usage


@given(st.lists(st.sampled_from(["abcab", "a", "bca", "b", "abcabd", "x"]), max_size=12), st.data())
def test_a_secret_is_replaced_wherever_it_is_split(words: list[str], data: st.DataObject) -> None:
    text = "".join(words).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    scrub = Scrubber(("abcabd",))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    found = b"".join(scrub.feed(piece) for piece in pieces) + scrub.end()
    assert found == text.replace(b"abcabd", PLACEHOLDER.encode())


@pytest.mark.parametrize("provider", [ANTHROPIC, OPENAI, GEMINI])
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["usage", "message", "response", "usageMetadata", "input_tokens", "x"]), inner
            )
        ),
    )
)
def test_no_reply_breaks_the_meter(provider: Provider, document: object) -> None:
    for streamed in (True, False):
        meter = ReplyMeter(provider, streamed)
        meter.feed(b"data: " + json.dumps(document).encode() + b"\n\ndata: {broken\n")
        meter.end()


OPENAI_USAGE = {
    "input_tokens": 120,
    "input_tokens_details": {"cached_tokens": 20},
    "output_tokens": 10,
    "output_tokens_details": {"reasoning_tokens": 3},
}
GEMINI_EARLY = {"promptTokenCount": 120, "candidatesTokenCount": 4}
GEMINI_USAGE = {**GEMINI_EARLY, "cachedContentTokenCount": 20, "candidatesTokenCount": 7, "thoughtsTokenCount": 3}
EXPECTED = Usage(input_tokens=100, cached_input_tokens=20, output_tokens=10, reasoning_tokens=3)


@pytest.mark.parametrize(
    ("provider", "events", "usage"),
    [
        (OPENAI, [{"type": "response.completed", "response": {"usage": OPENAI_USAGE}}], EXPECTED),
        (
            OPENAI,
            [
                {
                    "usage": {
                        "prompt_tokens": 120,
                        "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 60},
                        "completion_tokens": 10,
                    }
                }
            ],
            Usage(input_tokens=40, cached_input_tokens=20, cache_write_tokens=60, output_tokens=10),
        ),
        (GEMINI, [{"usageMetadata": GEMINI_EARLY}, {"usageMetadata": GEMINI_USAGE}], EXPECTED),
    ],
)
def test_usage_of_streams(provider: Provider, events: list[dict[str, object]], usage: Usage) -> None:
    meter = ReplyMeter(provider, True)
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\r\n\r\n" for event in events)
    for at in range(0, len(data), 7):
        meter.feed(data[at : at + 7])
    assert meter.end() == usage
