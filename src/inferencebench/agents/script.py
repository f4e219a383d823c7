"""`script:PATH`: a directory with a `solve.sh` (or one script file), run in the workspace like any agent."""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from inferencebench.agents.contract import Command, Ended, SolveSession
from inferencebench.agents.door import LOG, inside_port, opened
from inferencebench.agents.network import environment
from inferencebench.errors import UserError
from inferencebench.files import sha256_file, sha256_json

POLL_S = 0.1


class ScriptAgent:
    """Copies its directory to `/workspace/agent` and runs `solve.sh` with cwd `/workspace`.

    Success is a `start_server.sh` at the end, whatever the exit code."""

    def __init__(self, path: str) -> None:
        given = Path(path)
        self._script = given / "solve.sh" if given.is_dir() else given
        if not self._script.is_file():
            raise UserError(f"script:{path}: no such script; name a script file or a directory with a solve.sh")
        self._folder = self._script.parent if given.is_dir() else None
        self.name = f"script:{path.rstrip('/')}"

    def _files(self) -> list[Path]:
        if self._folder is None:
            return [self._script]
        return sorted(p for p in self._folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)

    @property
    def sha256(self) -> str:
        """Hash over the names and contents of its files."""
        root = self._script.parent
        return sha256_json([[p.relative_to(root).as_posix(), sha256_file(p)] for p in self._files()])

    def solve(self, session: SolveSession) -> Ended:
        """Run the script until it exits or the clock is over, then end everything it started."""
        home = session.workspace / "agent"
        for path in self._files():
            target = home / path.relative_to(self._script.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        with running(session, ["/bin/bash", f"/workspace/agent/{self._script.name}"]) as command:
            while (code := command.poll()) is None and not session.clock.over:
                time.sleep(min(POLL_S, session.clock.remaining_s))
            report = command.terminate()
        return Ended("deadline" if code is None else "finished", code, report.survivors)


@contextlib.contextmanager
def running(session: SolveSession, argv: list[str]) -> Iterator[Command]:
    """A command with what its run's condition lets it reach; ended with the body."""
    networked = session.net != "none"
    with contextlib.ExitStack() as stack:
        if networked:
            port = inside_port(session.sandbox.verified)
            env = {**session.spec.env, **environment(session.net, port)}
            spec = dataclasses.replace(session.spec, env=env, gateway_port=port)
            session = dataclasses.replace(session, spec=spec)
        command = session.start(argv)
        stack.callback(command.terminate)
        if networked:
            listener = command.process.take_gateway()
            stack.enter_context(opened(listener, session.net, None, session.clock, session.log_dir / LOG, port))
        yield command
