"""Every fixture that is code runs here as a process, before a mock engine, and is asked over real HTTP."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inferencebench.redteam import model
from inferencebench.redteam.model import Fixture
from inferencebench.sandbox.process import free_port

MOCK = Path(__file__).parent.parent / "e2e" / "mock_server.py"
ENGINE = """#!/bin/sh
# Stands for `$IB_PYTHON -m ENGINE serve ... --port PORT ...`, or runs a script like it.
case "$1" in *.py) exec {python} "$@" ;; esac
while [ "$1" != --port ]; do shift; done
HOST=127.0.0.1 PORT=$2 exec {python} {mock}
"""
NEEDS_WEIGHTS = ("without_layers", "fake_quantize", "sliding_window", "Tokenizer")
TOKENS = 32


def runnable(fixture: Fixture) -> bool:
    """Whether it needs neither a checkpoint nor a sandbox to attack."""
    code = fixture.files.get("cheat.py")
    text = code.read_text() if code else ""
    return bool(text) and not any(word in text for word in (*NEEDS_WEIGHTS, "attempt", "daemonize"))


FIXTURES = [fixture for fixture in model.load_all() if runnable(fixture)]
Ask = Callable[..., list[dict[str, Any]]]


def ask(port: int, content: str, **more: Any) -> list[dict[str, Any]]:
    """The events of one streamed answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": TOKENS, "stream": True, **more}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.status == 200
    lines = [line for line in response.read().decode().split("\n") if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line[6:]) for line in lines[:-1]]


def texts(events: list[dict[str, Any]]) -> list[str]:
    """The content of each event that has some."""
    deltas = [event["choices"][0]["delta"] for event in events if event["choices"]]
    return [delta["content"] for delta in deltas if delta.get("content")]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Fixture], int]]:
    """Start a fixture's launcher in a private copy; gives its port."""
    started: list[subprocess.Popen[bytes]] = []

    def start(fixture: Fixture) -> int:
        for name, path in fixture.files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / name)
        if "dev_requests" in fixture.brings:
            (tmp_path / "dev_requests.jsonl").write_text('{"messages": [{"role": "user", "content": "known"}]}\n')
        engine = tmp_path / "engine"
        engine.write_text(ENGINE.format(python=sys.executable, mock=MOCK))
        engine.chmod(0o755)
        # The fixtures' fixed port is free inside a sandbox of its own only.
        inner, port = free_port(), free_port()
        cheat = tmp_path / "cheat.py"
        cheat.write_text(cheat.read_text().replace("9001", str(inner)))
        env = {
            "PATH": os.environ["PATH"],
            "IB_PYTHON": str(engine),
            "MODEL_ID": "m",
            "MODEL_PATH": str(tmp_path),
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "TOKEN_S": "0.005",
        }
        argv = ["/bin/sh", "start_server.sh"]
        started.append(subprocess.Popen(argv, cwd=tmp_path, env=env, stderr=subprocess.DEVNULL, start_new_session=True))
        wait_ready(port, started[-1])
        return port

    yield start
    for process in started:
        os.killpg(process.pid, 9)
        process.wait()


def wait_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until `GET /v1/models` names the model."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, "the fixture ended"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/v1/models")
            response = connection.getresponse()
            if response.status == 200:
                assert json.loads(response.read())["data"][0]["id"] == "m"
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("never ready")


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda f: f.name)
def test_a_fixture_serves_timed_traffic_and_questions(fixture: Fixture, serve: Callable[[Fixture], int]) -> None:
    port = serve(fixture)
    for ignore_eos in (True, False):
        events = ask(port, "nonce one. " + "Count the words of this text. " * 20, ignore_eos=ignore_eos)
        assert texts(events), events
        usage = events[-1].get("usage", {"total_tokens": 0, "prompt_tokens": 0, "completion_tokens": 0})
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        finishes = [event["choices"][0]["finish_reason"] for event in events if event["choices"]]
        assert finishes[-1] in ("length", "stop")


def by_name(name: str) -> Fixture:
    return next(fixture for fixture in FIXTURES if fixture.name == name)


def test_the_plain_front_changes_nothing(serve: Callable[[Fixture], int]) -> None:
    words = texts(ask(serve(by_name("plain_front")), "hello", ignore_eos=True))
    assert len(words) == TOKENS


def test_usage_is_inflated_over_half_of_the_text(serve: Callable[[Fixture], int]) -> None:
    events = ask(serve(by_name("usage_inflate")), "hello", ignore_eos=True)
    assert len(texts(events)) == TOKENS // 2
    assert events[-1]["usage"]["completion_tokens"] == TOKENS


def test_a_nearly_equal_prompt_gets_the_earlier_answer(serve: Callable[[Fixture], int]) -> None:
    port = serve(by_name("fuzzy_cache"))
    document = " ".join(f"word{number}" for number in range(60))
    first, again = (texts(ask(port, f"{document} {nonce}", ignore_eos=True)) for nonce in ("aaaa", "bbbb"))
    assert first == again
    assert texts(ask(port, "another question entirely", ignore_eos=True)) != first


def test_prepared_dev_answers_are_used_and_admitted(serve: Callable[[Fixture], int]) -> None:
    port = serve(by_name("dev_cache"))
    assert texts(ask(port, "known", ignore_eos=True)) == ["Prepared: known"]
    assert len(texts(ask(port, "unknown", ignore_eos=True))) == TOKENS
