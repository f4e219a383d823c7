"""The back end without walls: path translation, and the proof that the port is ours."""

import os
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferencebench.sandbox.contract import ForeignListenerError, Mount
from inferencebench.sandbox.listeners import listening_inodes, listening_inodes_by_proc
from inferencebench.sandbox.process import outside
from tests.sandbox.conftest import ECHO, Box, answer

MOUNTS = (
    Mount(Path("/host/prefix"), "/opt/ib"),
    Mount(Path("/host/site-packages/package"), "/opt/package/package"),
    Mount(Path("/host/work"), "/workspace"),
    Mount(Path("/host/copy"), "/workspace/submission"),
)


@pytest.mark.parametrize(
    ("inside", "host"),
    [
        ("/opt/ib/bin/python", "/host/prefix/bin/python"),
        ("/opt/ib", "/host/prefix"),
        ("/opt/ibis", "/opt/ibis"),
        ("/workspace/submission/start_server.sh", "/host/copy/start_server.sh"),
        ("/workspace/other", "/host/work/other"),
        ("/opt/package", "/host/site-packages"),
        ("/opt/ib/bin:/usr/bin:/workspace/bin", "/host/prefix/bin:/usr/bin:/host/work/bin"),
        ("/opt", "/opt"),
        ("/", "/"),
        ("say /opt/ib", "say /opt/ib"),
        ("http://127.0.0.1:80/opt/ib", "http://127.0.0.1:80/opt/ib"),
        ("", ""),
    ],
)
def test_paths_are_translated(inside: str, host: str) -> None:
    assert outside(inside, MOUNTS) == host


@given(st.text())
def test_without_mounts_nothing_changes(text: str) -> None:
    assert outside(text, ()) == text


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), max_size=4))
def test_everything_below_a_mount_is_translated(parts: list[str]) -> None:
    below = "".join(f"/{part}" for part in parts)
    assert outside(f"/opt/ib{below}", MOUNTS) == f"/host/prefix{below}"


def test_interpreter_is_the_harnesss_own(bare: Box) -> None:
    process = bare.run(["/bin/sh", "-c", 'echo "$IB_PYTHON"'])
    assert os.path.samefile(bare.output(process).strip(), sys.executable)


def test_home_is_private_and_removed(bare: Box) -> None:
    process = bare.run(["/bin/sh", "-c", 'echo data > "$HOME/file"; echo "$HOME"'])
    home = Path(bare.output(process).strip())
    assert (home / "file").exists()
    process.terminate()
    assert not home.exists()


def test_foreign_server_on_the_port_is_refused(bare: Box) -> None:
    """Somebody else (here: this test) listens where our server should: it must not be taken for ours."""
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        port = foreign.getsockname()[1]
        process = bare.run(["/bin/sleep", "600"], bare.spec(port=port))
        with pytest.raises(ForeignListenerError, match=f"port {port} is held"):
            process.connect()
    with pytest.raises(ConnectionRefusedError):
        process.connect()


def test_foreign_server_beside_ours_is_refused(bare: Box) -> None:
    """With SO_REUSEPORT the kernel would choose between both."""
    code = """
import os, socket
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
server.bind((os.environ["HOST"], int(os.environ["PORT"])))
server.listen()
while True:
    peer, _ = server.accept()
    peer.sendall(b"ours" + peer.recv(100))
    peer.close()
"""
    process = bare.python(code)
    assert answer(process) == "ours?"
    with socket.socket() as foreign:
        foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        foreign.bind(("127.0.0.1", process.port))
        foreign.listen()
        with pytest.raises(ForeignListenerError):
            process.connect()
    assert answer(process) == "ours?"


def test_a_daemons_listener_is_ours(bare: Box) -> None:
    daemon = "import os\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
    process = bare.python(daemon + ECHO, "daemon")
    assert answer(process) == "daemon?"


def test_kernel_and_proc_name_the_same_listeners() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as first,
        socket.create_server(("::1", first.getsockname()[1]), family=socket.AF_INET6) as second,
    ):
        port = first.getsockname()[1]
        both = {os.fstat(server.fileno()).st_ino for server in (first, second)}
        assert listening_inodes(port) == listening_inodes_by_proc(port) == both
        with socket.create_connection(("127.0.0.1", port)):
            assert listening_inodes(port) == both
    assert listening_inodes(port) == set()
