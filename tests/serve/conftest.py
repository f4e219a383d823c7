"""Submissions for the tests, and their servers on every back end that works here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from inferencebench.sandbox import registry
from inferencebench.sandbox.contract import Sandbox
from inferencebench.serve.server import Server, start
from inferencebench.serve.submission import Launch, server_spec

MODEL = "tests/tiny-model"


class Kitchen:
    """Makes submissions and starts them."""

    def __init__(self, backend: Sandbox, folder: Path) -> None:
        self.backend = backend
        self.logs = folder / "logs"
        self.parts = {name: folder / name for name in ("submission", "checkpoint", "scratch")}
        for part in self.parts.values():
            part.mkdir()
        self.servers: list[Server] = []

    def launch(self, launcher: str, program: str = "") -> Launch:
        """The sandbox and command of a submission with this launcher, and a program `server.py` beside it."""
        (self.parts["submission"] / "start_server.sh").write_text(launcher)
        (self.parts["submission"] / "server.py").write_text(program)
        return server_spec(
            self.parts["submission"],
            self.parts["checkpoint"],
            MODEL,
            cpus=None,
            memory_bytes=None,
            scratch=self.parts["scratch"],
        )

    def serve(self, launcher: str, program: str = "", cap_bytes: int = 1 << 20) -> Server:
        """Start a submission."""
        server = start(self.backend, *self.launch(launcher, program), self.logs, cap_bytes)
        self.servers.append(server)
        return server

    def python(self, program: str, *args: str) -> Server:
        """Start a submission that is a Python program."""
        return self.serve(f'exec "$IB_PYTHON" -I -S -u server.py {" ".join(args)}\n', program)


def kitchen_of(name: str, folder: Path) -> Iterator[Kitchen]:
    """A kitchen on the named back end; the test is skipped where the machine lacks it."""
    found = registry.probe(name)
    if not found.ok:
        pytest.skip(f"{name}: {found.detail}")
    made = Kitchen(registry.get(name), folder)
    yield made
    for server in made.servers:
        assert server.stop(0).survivors == ()


@pytest.fixture(params=registry.names())
def kitchen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kitchen]:
    """Every back end in turn."""
    yield from kitchen_of(request.param, tmp_path)


@pytest.fixture
def best(tmp_path: Path) -> Iterator[Kitchen]:
    """The back end that `auto` chooses, for what does not depend on it."""
    yield from kitchen_of(registry.get().name, tmp_path)
