"""One protocol, every engine: what the load client and the gates rely on, asked of the real servers."""

import json
import threading
import time
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.engines.conftest import LiveServer
from tests.models.shapes import SMOLLM2

CHATS: list[list[dict[str, str]]] = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "In 1984,   37 + 128 = ?\n\n\tand 3.14"}],
    [
        {"role": "user", "content": "naïve café — ½ ² Ⅷ 漢字 🙂 don't I'LL"},
        {"role": "assistant", "content": "  leading and trailing  "},
        {"role": "user", "content": "x\r\ny\u00a0z"},
    ],
]


def _stream(server: LiveServer, body: dict[str, Any]) -> tuple[list[dict[str, Any]], list[float]]:
    """The events of a streamed answer, and when each was there."""
    body = body | {"stream": True, "stream_options": {"include_usage": True}}
    events, times = [], []
    with server.client.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in _timed_lines(answer, times) if line]
    assert lines[-1] == "data: [DONE]"
    for line in lines[:-1]:
        assert line.startswith("data: ")
        events.append(json.loads(line[6:]))
    return events, times


def _timed_lines(answer: httpx.Response, times: list[float]) -> list[str]:
    lines = []
    for line in answer.iter_lines():
        lines.append(line)
        if line.startswith("data: {"):
            times.append(time.monotonic())
    return lines


def _content(events: list[dict[str, Any]]) -> list[str]:
    return [c["delta"].get("content") or "" for event in events for c in event["choices"]]


def test_serves_the_model_under_its_id(server: LiveServer) -> None:
    assert [card["id"] for card in server.client.get("/v1/models").json()["data"]] == [SMOLLM2.id]
    assert server.client.get("/health").status_code == 200


def test_knows_the_capital_of_france(server: LiveServer) -> None:
    answer = server.chat("What is the capital of France?")
    assert answer["choices"][0]["message"]["content"].strip() == "The capital of France is Paris."
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] < 16


@pytest.mark.parametrize("stream", [False, True])
def test_forced_length_is_exact(server: LiveServer, stream: bool) -> None:
    # Left alone, this answer ends after 8 tokens.
    body = server.body("What is the capital of France?", max_tokens=24, ignore_eos=True)
    if stream:
        events, _ = _stream(server, body)
        finish, usage = [c["finish_reason"] for e in events for c in e["choices"]][-1], events[-1]["usage"]
    else:
        answer = server.client.post("/v1/chat/completions", json=body).json()
        finish, usage = answer["choices"][0]["finish_reason"], answer["usage"]
    assert finish == "length"
    assert usage["completion_tokens"] == 24
    assert usage["total_tokens"] == usage["prompt_tokens"] + 24


@pytest.mark.parametrize("chat", CHATS)
def test_prompt_tokens_are_those_of_the_checkpoint(
    server: LiveServer, tokenizer: Any, chat: list[dict[str, str]]
) -> None:
    expected = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert server.chat("", messages=chat, max_tokens=1)["usage"]["prompt_tokens"] == len(expected)


def test_streams_token_by_token(server: LiveServer) -> None:
    body = server.body("Tell me about rivers.", max_tokens=16, ignore_eos=True)
    events, times = _stream(server, body)
    pieces = [piece for piece in _content(events) if piece]
    assert 14 <= len(pieces) <= 16
    assert "".join(pieces) == server.chat("Tell me about rivers.", ignore_eos=True)["choices"][0]["message"]["content"]
    # As they are made, not at the end: without the longest gap (a machine may stall) much of the time is left.
    gaps = sorted(later - earlier for earlier, later in pairwise(times[:16]))
    assert sum(gaps[:-1]) > 0.2 * sum(gaps)
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 16


def test_greedy_is_deterministic(server: LiveServer) -> None:
    answers = {server.chat("Write a short poem.")["choices"][0]["message"]["content"] for _ in range(3)}
    assert len(answers) == 1


def test_seed_fixes_a_sampled_answer(server: LiveServer) -> None:
    def sample(seed: int) -> str:
        # The prompt cache of llama.cpp changes the batch shape, and with it the last bits of the logits.
        body = server.body("Write a short poem.", temperature=1.0, seed=seed, cache_prompt=False)
        return str(server.client.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"])

    assert sample(1) == sample(1)
    assert len({sample(seed) for seed in (1, 2, 3)}) > 1


def test_stop_string_ends_the_answer_before_it(server: LiveServer) -> None:
    answer = server.chat("What is the capital of France?", stop=["nce is"])
    assert answer["choices"][0]["message"]["content"] == "The capital of Fra"
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "content", [b"nonsense", b'{"model": "m"}', b'{"model": "m", "messages": "text"}'], ids=["json", "missing", "type"]
)
def test_bad_body_is_a_client_error(server: LiveServer, content: bytes) -> None:
    content = content.replace(b'"m"', json.dumps(SMOLLM2.id).encode())
    answer = server.client.post("/v1/chat/completions", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_prompt_beyond_the_context_is_a_client_error(server: LiveServer) -> None:
    answer = server.client.post("/v1/chat/completions", json=server.body("word " * 9000))
    assert answer.status_code == 400
    assert "context" in answer.json()["error"]["message"]


def test_concurrent_requests_all_get_their_own_answer(server: LiveServer) -> None:
    alone = {name: server.chat(f"What is the capital of {name}?", max_tokens=8) for name in ("France", "Italy")}
    together: dict[str, dict[str, Any]] = {}

    def ask(name: str) -> None:
        together[name] = server.chat(f"What is the capital of {name}?", max_tokens=8)

    threads = [threading.Thread(target=ask, args=(name,)) for name in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, answer in alone.items():
        assert name in answer["choices"][0]["message"]["content"]
        assert together[name]["choices"][0]["message"] == answer["choices"][0]["message"]


@pytest.mark.parametrize("stream", [True, False])
def test_disconnect_frees_the_server(server: LiveServer, stream: bool) -> None:
    body = server.body("Tell me a very long story.", max_tokens=4000, ignore_eos=True, stream=stream)
    with httpx.Client(base_url=server.client.base_url) as client:
        if stream:
            with client.stream("POST", "/v1/chat/completions", json=body, timeout=60) as answer:
                next(line for line in answer.iter_lines() if line.startswith("data: "))
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/chat/completions", json=body, timeout=1.0)
    deadline = time.monotonic() + 15
    while (busy := _cpu_share(server)) > 0.1:
        assert time.monotonic() < deadline, f"still at {busy:.0%} of a core after the client left"


def _cpu_share(server: LiveServer) -> float:
    """Cores used over half a second."""
    before, start = server.process.cpu_times(), time.monotonic()
    time.sleep(0.5)
    after = server.process.cpu_times()
    return (after.user + after.system - before.user - before.system) / (time.monotonic() - start)
