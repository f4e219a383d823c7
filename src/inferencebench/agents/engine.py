"""`engine:NAME`: the default of an inference engine, as a submission like any other."""

from inferencebench.agents.contract import Ended, SolveSession
from inferencebench.engines.contract import Engine
from inferencebench.errors import MissingError
from inferencebench.files import sha256_bytes, write_atomic


class EngineAgent:
    """Leaves the engine's default launcher and nothing else."""

    launchers_are_ours = True

    def __init__(self, engine: Engine) -> None:
        self.name = f"engine:{engine.name}"
        self._engine = engine

    @property
    def sha256(self) -> str:
        """Hash of the launcher."""
        return sha256_bytes(self._engine.default_launcher().encode())

    def ready(self) -> None:
        """Raises MissingError when the engine is not installed."""
        found = self._engine.availability()
        if not found.ok:
            raise MissingError(f"{self.name}: {found.detail}; {found.remedy}")

    def solve(self, session: SolveSession) -> Ended:
        """Write the launcher.

        Raises MissingError when the engine is not installed."""
        self.ready()
        script = session.workspace / "submission" / "start_server.sh"
        write_atomic(script, self._engine.default_launcher())
        script.chmod(0o755)
        return Ended("finished", None)
