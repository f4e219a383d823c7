"""Real servers behind every back end: when one is ready, and why one is not."""

import dataclasses
import http.client
import itertools
import socket
import tempfile
import time
from pathlib import Path

import pytest

from inferencebench.errors import InfrastructureError
from inferencebench.sandbox import registry
from inferencebench.serve.server import ServerFailed, start
from tests.serve.conftest import MODEL, Kitchen
from tests.serve.servers import MODELS, NOT_HTTP


def test_ready(kitchen: Kitchen) -> None:
    ticks: list[float] = []
    with kitchen.python(MODELS, "good", "0.5") as server:
        ready = server.wait_ready(20, MODEL, ticks.append)
        assert ready.models == (MODEL,)
        assert 0.5 < ready.seconds < 20
        assert ticks == sorted(ticks)
        assert all(later - earlier < 2 for earlier, later in itertools.pairwise(ticks))
        assert server.alive()
        connection = http.client.HTTPConnection("server")
        connection.sock = server.connect()
        connection.request("GET", "/v1/models")
        assert connection.getresponse().status == 200
        connection.close()
    assert not server.alive()


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("other", f"it serves another/model where {MODEL} was asked for"),
        ("html", "not an OpenAI list of models"),
        ("crash", "exit code 9"),
    ],
)
def test_wrong_answers_fail_at_once(best: Kitchen, behaviour: str, reason: str) -> None:
    server = best.python(MODELS, behaviour)
    begun = time.monotonic()
    with pytest.raises(ServerFailed, match=reason) as caught:
        server.wait_ready(60, MODEL)
    assert time.monotonic() - begun < 10
    assert caught.value.reason in str(caught.value)
    if behaviour == "crash":
        assert caught.value.server_exit_code == 9
        assert "out of memory" in caught.value.log_tail


def test_hostile_model_ids_make_one_short_line(best: Kitchen) -> None:
    with pytest.raises(ServerFailed) as caught:
        best.python(MODELS, "hostile").wait_ready(20, MODEL)
    assert caught.value.reason.startswith(r"it serves \ud800x\x1b[2J\nzzz")
    assert caught.value.reason.isprintable()
    assert len(str(caught.value).encode()) < 400


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [("empty", "names no model"), ("error", "answered 500"), ("drip", "not answered in full")],
)
def test_not_yet_until_the_time_is_over(best: Kitchen, behaviour: str, reason: str) -> None:
    server = best.python(MODELS, behaviour)
    begun = time.monotonic()
    with pytest.raises(ServerFailed, match=f"not ready after 4 s: .*{reason}") as caught:
        server.wait_ready(4, MODEL)
    assert time.monotonic() - begun < 10
    assert caught.value.server_exit_code is None


def test_another_protocol(best: Kitchen) -> None:
    with pytest.raises(ServerFailed, match="does not speak HTTP"):
        best.python(NOT_HTTP).wait_ready(20, MODEL)


def test_crash_is_known_soon(kitchen: Kitchen) -> None:
    server = kitchen.serve("echo loading; sleep 0.3; echo 'no such flag' >&2; exit 3\n")
    begun = time.monotonic()
    with pytest.raises(ServerFailed, match="exit code 3") as caught:
        server.wait_ready(600, MODEL)
    assert time.monotonic() - begun < 2.3
    assert caught.value.log_tail.splitlines() == ["loading", "no such flag"]
    assert (kitchen.logs / "server.err").read_text() == "no such flag\n"


def test_launcher_that_leaves_a_daemon_has_ended(kitchen: Kitchen) -> None:
    server = kitchen.serve('"$IB_PYTHON" -I -S server.py good 60 &\nsleep 0.2\n', MODELS)
    with pytest.raises(ServerFailed, match="ended with exit code 0"):
        server.wait_ready(20, "a model it does not serve")
    assert server.stop().survivors == ()


def test_no_launcher(kitchen: Kitchen) -> None:
    launch = kitchen.launch("")
    (kitchen.parts["submission"] / "start_server.sh").unlink()
    server = start(kitchen.backend, *launch, kitchen.logs)
    with pytest.raises(ServerFailed, match="exit code 127") as caught:
        server.wait_ready(20, MODEL)
    assert "start_server.sh" in caught.value.log_tail


def test_foreign_server_on_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign, tempfile.TemporaryDirectory() as folder:
        kitchen = Kitchen(registry.get("process"), Path(folder))
        spec, argv = kitchen.launch("exec sleep 600\n")
        spec = dataclasses.replace(spec, port=foreign.getsockname()[1])
        with (
            start(kitchen.backend, spec, argv, kitchen.logs) as server,
            pytest.raises(ServerFailed, match="held by a process that is not of this sandbox"),
        ):
            server.wait_ready(20, MODEL)


def test_the_submission_sees_what_it_was_promised(kitchen: Kitchen) -> None:
    (kitchen.parts["checkpoint"] / "config.json").write_text("{}")
    script = """
ls "$MODEL_PATH"; echo "$MODEL_ID"; pwd | xargs basename; echo kept > cache; echo kept > "$HOME/compiled"
[ -n "$HOST" ] && [ -n "$PORT" ] && "$IB_PYTHON" -c 'import inferencebench' && echo engines
"""
    server = kitchen.serve(script)
    with pytest.raises(ServerFailed, match="exit code 0") as caught:
        server.wait_ready(20, MODEL)
    assert caught.value.log_tail.splitlines() == ["config.json", MODEL, "submission", "engines"]
    assert (kitchen.parts["submission"] / "cache").exists()
    assert (kitchen.parts["scratch"] / "compiled").exists()


def test_sandbox_that_cannot_be_set_up_is_not_the_submissions_fault(kitchen: Kitchen) -> None:
    launch = kitchen.launch("")
    kitchen.parts["checkpoint"].rmdir()
    with pytest.raises(InfrastructureError):
        start(kitchen.backend, *launch, kitchen.logs)


def test_flood_is_bounded_and_the_end_is_kept(best: Kitchen) -> None:
    """A server that prints without end neither fills the disk nor is blocked."""
    server = best.serve("echo first\nhead -c 30000000 /dev/zero | tr '\\0' x\necho; echo last\nexit 5\n")
    with pytest.raises(ServerFailed, match="exit code 5") as caught:
        server.wait_ready(60, MODEL)
    assert caught.value.log_tail.splitlines()[-1] == "last"
    log = (best.logs / "server.out").read_bytes()
    assert log.startswith(b"first\nxxx")
    assert log.endswith(b"xxx\nlast\n")
    assert b"bytes left out here" in log
    assert len(log) < (1 << 20) + (200 << 10)
