"""What is seen from outside of a sandbox: files that it opened, and addresses that it wanted to reach."""

from pathlib import Path

import pytest

from inferencebench.sandbox.contract import Mount
from inferencebench.sandbox.opened import OpenedFiles
from tests.sandbox.conftest import Box

DIAL = """
import socket
for address in ("192.0.2.1", "2001:db8::1"):
    try:
        socket.create_connection((address, 80), timeout=5)
    except OSError:
        pass
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    udp.connect(("192.0.2.1", 53))
except OSError:
    pass
try:
    socket.create_connection(("127.0.0.1", 9), timeout=5)
except OSError:
    pass
"""


def test_attempts_at_bare_addresses_are_counted_and_the_loopback_is_not(walled: Box) -> None:
    quiet = walled.run(["/bin/true"])
    assert walled.code(quiet) == 0
    assert quiet.terminate().unrouted == 0
    process = walled.python(DIAL)
    assert walled.code(process) == 0
    assert process.unrouted() == 3
    assert process.terminate().unrouted == 3
    assert process.unrouted() == 3


def test_without_a_wall_nobody_counts(bare: Box) -> None:
    process = bare.run(["/bin/true"])
    assert bare.code(process) == 0
    assert process.terminate().unrouted is None


def test_opened_files_are_seen_through_the_wall(walled: Box) -> None:
    model = walled.folder / "checkpoint"
    (model / "deep").mkdir(parents=True)
    for name, size in (("weights", 3000), ("deep/shard", 2000), ("unread", 1000)):
        (model / name).write_bytes(bytes(size))
    spec = walled.spec(mounts=(*walled.spec().mounts, Mount(model, "/model")))
    script = "cat /model/weights /model/deep/shard; stat /model/unread; mkdir made; sleep 2; echo x > made/own"
    with OpenedFiles({"/model": model, "/workspace/submission": walled.work}) as files:
        process = walled.run(["/bin/sh", "-c", script], spec)
        while process.poll() is None:
            files.look()
        assert walled.code(process) == 0
        found = files.found()
    assert found == (("/model/weights", 3000), ("/model/deep/shard", 2000), ("/workspace/submission/made/own", 2))


def test_more_directories_than_can_be_watched_are_no_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferencebench.sandbox.opened.MAX_DIRECTORIES", 1)
    (tmp_path / "below").mkdir()
    with OpenedFiles({"/model": tmp_path}) as files:
        assert files.found() is None
