"""Logs and answers, without a sandbox."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferencebench.serve.logs import TAIL_BYTES, LogPump
from inferencebench.serve.readiness import NotAServerError, model_ids


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(0, 1000))
def test_log_keeps_head_and_tail(tmp_path_factory: pytest.TempPathFactory, blocks: list[bytes], cap: int) -> None:
    """Below the cap the log is exact; above it, head and tail are, and the rest is counted."""
    path = tmp_path_factory.mktemp("log") / "log"
    pump = LogPump([path], cap)
    pump.start()
    for block in blocks:
        pump.writers[0].write(block)
    pump.close()
    everything, log = b"".join(blocks), path.read_bytes()
    if len(everything) <= cap:
        assert log == everything
    else:
        assert log.startswith(everything[:cap])
        assert log.endswith(everything[max(cap, len(everything) - TAIL_BYTES) :])


def test_tail_is_of_both_streams(tmp_path: Path) -> None:
    pump = LogPump([tmp_path / "out", tmp_path / "err"])
    pump.start()
    pump.writers[0].write(b"a\nb\nc\n")
    pump.writers[1].write(b"d\n")
    pump.close()
    assert pump.tail(2).splitlines() == ["b", "c", "d"]


def test_close_does_not_wait_for_a_pipe_that_somebody_holds(tmp_path: Path) -> None:
    pump = LogPump([tmp_path / "out"])
    held = os.dup(pump.writers[0].fileno())
    pump.start()
    pump.writers[0].write(b"text")
    pump.close(timeout_s=1.0)
    os.close(held)
    assert (tmp_path / "out").read_bytes() == b"text"


def test_model_ids() -> None:
    assert model_ids(b'{"data": [{"id": "a", "object": "model"}, {"id": "b"}]}') == ("a", "b")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"models": []}', b'{"data": [{"id": 3}]}', b'{"data": 3}'])
def test_wrong_lists(body: bytes) -> None:
    with pytest.raises(NotAServerError, match="not an OpenAI list"):
        model_ids(body)


@given(st.binary())
def test_garbage_never_escapes(body: bytes) -> None:
    with pytest.raises((NotAServerError, OSError)):
        model_ids(body)
