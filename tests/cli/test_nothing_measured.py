"""Servers that answer nothing usable, and commands that cannot say what to send: one line, and the exit code."""

import json
from pathlib import Path

import pytest

from inferencebench.load.mock import MockConfig, MockServer
from tests.cli.test_measure import run


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jsonl"
    line = {"messages": [{"role": "user", "content": "Count."}], "max_tokens": 4}
    path.write_text(f"{json.dumps(line)}\n" * 2)
    return path


def test_a_side_that_answers_only_garbage_is_nothing_to_compare(requests: Path) -> None:
    with MockServer(MockConfig(0.01, 0.001)) as good, MockServer(MockConfig(behaviours=("garbage",))) as bad:
        a, b = (f"http://127.0.0.1:{server.port}" for server in (bad, good))
        words = ("compare", a, b, "--requests", requests, "--repeats", 2, "--warmup", 0)
        done, machine = run(*words), run(*words, "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"inferencebench: nothing to compare: A ({a}/v1): burst: no successful request of 2")
    assert "B (" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (machine.returncode, json.loads(machine.stdout)["valid"]) == (1, False)


def test_of_figures_that_are_not_valid_nothing_is_concluded(requests: Path) -> None:
    half = MockConfig(0.01, 0.001, behaviours=("ok", "garbage"))
    with MockServer(MockConfig(0.01, 0.001)) as good, MockServer(half) as bad:
        a, b = (f"http://127.0.0.1:{server.port}" for server in (good, bad))
        done = run("compare", a, b, "--requests", requests, "--repeats", 2, "--warmup", 0)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "nothing can be concluded: a measurement is not valid"


@pytest.mark.parametrize("verb", ["measure", "sweep"])
def test_what_measured_nothing_ends_with_0_as_its_help_says(verb: str, requests: Path) -> None:
    with MockServer(MockConfig(behaviours=("garbage",))) as server:
        url = f"http://127.0.0.1:{server.port}"
        done = run(verb, url, "--requests", requests, "--warmup", 0, "--concurrency", 1, "--json")
    assert done.returncode == 0, done.stderr
    assert "no successful request" in done.stderr
    assert "The exit code is 0 whatever the server answered" in " ".join(run(verb, "--help").stdout.split())


@pytest.mark.parametrize("verb", ["measure", "sweep"])
def test_a_suite_and_a_file_are_one_too_many(verb: str, requests: Path) -> None:
    with MockServer() as server:
        url = f"http://127.0.0.1:{server.port}"
        done = run(verb, url, "--suite", "laptop", "--scenario", "decode", "--requests", requests)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--suite and --requests each say what to send; give one of the two, not both" in done.stderr
