"""Real sandboxes for the tests: every back end, started with small standard-library programs."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferencebench.sandbox import registry
from inferencebench.sandbox.contract import Mount, Sandbox, SandboxProcess, SandboxSpec
from inferencebench.sandbox.environment import engine_view
from tests.waiting import wait_for


def marked(marker: str) -> list[int]:
    """Living processes of the whole machine that carry `marker` in their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                alive = (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
                if alive and marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def control_groups(name: str) -> list[str]:
    """Control groups of that name; others may come and go meanwhile."""
    return [path for path, groups, _ in os.walk("/sys/fs/cgroup") if name in groups]


class Box:
    """One back end and the sandboxes a test starts on it; a private directory is writable at /workspace/submission."""

    def __init__(self, backend: Sandbox, folder: Path) -> None:
        self.backend = backend
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        self.started: list[SandboxProcess] = []

    def spec(self, **changes: object) -> SandboxSpec:
        view = engine_view()
        fields: dict[str, object] = {
            "cwd": "/workspace/submission",
            "mounts": (*view.mounts, Mount(self.work, "/workspace/submission", writable=True)),
            "masked": view.masked,
            "env": view.env,
        }
        return SandboxSpec(**{**fields, **changes})  # type: ignore[arg-type]

    def run(self, argv: list[str], spec: SandboxSpec | None = None) -> SandboxProcess:
        """Start a command; its output goes to `out` and `err`."""
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            process = self.backend.start(spec or self.spec(), argv, out, err)
        self.started.append(process)
        return process

    def python(self, code: str, *args: str, spec: SandboxSpec | None = None) -> SandboxProcess:
        """Start a Python program."""
        return self.run(["/opt/ib/bin/python", "-I", "-S", "-c", code, *args], spec)

    def code(self, process: SandboxProcess) -> int:
        """Wait for the exit code."""
        wait_for(lambda: process.poll() is not None)
        code = process.poll()
        assert code is not None
        return code

    def output(self, process: SandboxProcess) -> str:
        """Wait for success, and give what was printed."""
        code = self.code(process)
        assert code == 0, (code, self.err)
        return self.out

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text()


def box(name: str, folder: Path) -> Iterator[Box]:
    """A box of the named back end; the test is skipped where the machine lacks it."""
    found = registry.probe(name)
    if not found.ok:
        pytest.skip(f"{name}: {found.detail}")
    made = Box(registry.get(name), folder)
    yield made
    for process in made.started:
        assert process.terminate().survivors == ()


@pytest.fixture(params=registry.names())
def any_box(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Box]:
    yield from box(request.param, tmp_path)


@pytest.fixture(params=[name for name in registry.names() if registry.get(name).verified])
def walled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Box]:
    yield from box(request.param, tmp_path)


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Box]:
    yield from box("process", tmp_path)


ECHO = """
import os, socket, sys
with socket.create_server((os.environ["HOST"], int(os.environ["PORT"]))) as server:
    while True:
        peer, _ = server.accept()
        peer.sendall(sys.argv[1].encode() + peer.recv(100))
        peer.close()
"""
"""A server that answers its own name and what it was sent."""

DAEMONS = """
import os, signal, sys, time
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            open(f"daemon{os.getpid()}", "w").close()
            time.sleep(600)
        os._exit(0)
    os.wait()
for _ in range(3):
    daemon()
time.sleep(600)
"""
"""Leaves three daemons that gave up their session, their parent and SIGTERM."""

FORK_LOOP = """
import os, time
if os.fork():
    time.sleep(600)
for generation in range(3000):
    if os.fork():
        os._exit(0)
    os.setsid()
    if generation == 20:
        open("running", "w").close()
    time.sleep(0.001)
"""
"""Moves on to a new process every millisecond."""


def answer(process: SandboxProcess, text: str = "?") -> str:
    """What an ECHO server says, once it listens."""
    deadline = time.monotonic() + 10
    while True:
        try:
            with process.connect() as sock:
                sock.sendall(text.encode())
                return sock.recv(200).decode()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
