"""The agent contract: whatever turns a workspace and a budget into a submission.

A session gives an agent its workspace, its clock and a way to run commands behind the wall; what the agent leaves in
`workspace/submission` when the session ends is its answer.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from inferencebench.agents.prices import PriceTable, listed
from inferencebench.run.clock import Clock
from inferencebench.run.spec import Net
from inferencebench.sandbox.contract import KillReport, Sandbox, SandboxProcess, SandboxSpec
from inferencebench.serve.logs import CAP_BYTES, LogPump
from inferencebench.suites.model import Scenario, Suite

if TYPE_CHECKING:
    from inferencebench.run.evaluate import Evaluator


class Ended(NamedTuple):
    """How an agent's work ended: `finished`, `deadline` or `failed`, and the exit code of its process if it had one."""

    how: str
    exit_code: int | None
    survivors: tuple[int, ...] = ()


class Command:
    """A command of the agent's behind the wall. Its output goes to two files, each capped like a server's log."""

    def __init__(self, process: SandboxProcess, pump: LogPump) -> None:
        self.process = process
        self._pump = pump

    def poll(self) -> int | None:
        """Exit code, or None while the command runs."""
        return self.process.poll()

    def terminate(self, grace_s: float = 0.0) -> KillReport:
        """End it and all it started, and complete the logs. Idempotent."""
        report = self.process.terminate(grace_s)
        self._pump.close()
        return report


@dataclass(frozen=True)
class SolveSession:
    """What an agent is given."""

    suite: Suite
    scenario: Scenario
    workspace: Path
    """Host path of the workspace; `/workspace` inside."""
    clock: Clock
    sandbox: Sandbox
    spec: SandboxSpec
    """Mounts, environment and limits of commands in the workspace."""
    log_dir: Path
    started: list[SandboxProcess] = field(default_factory=list)
    """Every process the agent started behind the wall, oldest first."""
    evaluator: "Evaluator | None" = None
    """The evaluation service in process: for agents that are the harness's own code, never for what runs inside."""
    scratch: Path | None = None
    """Private host directory that is kept while the session lasts, also over a crash of the harness."""
    prompt: str = ""
    """The task in words, as in the workspace's PROMPT.md."""
    net: Net = "none"
    """What may be reached from inside, beside a model's API."""
    prices: PriceTable = field(default_factory=listed)
    """Of model calls."""

    def start(self, argv: list[str], out: str = "stdout.log", err: str = "stderr.log") -> Command:
        """Start a command behind the wall; ending it is the agent's task.

        Its output goes to the files `out` and `err` in `log_dir`: the first CAP_BYTES of each, and the newest part."""
        pump = LogPump([self.log_dir / out, self.log_dir / err], CAP_BYTES)
        pump.start()
        try:
            process = self.sandbox.start(self.spec, argv, *pump.writers)
        except BaseException:
            pump.close()
            raise
        pump.release()
        self.started.append(process)
        return Command(process, pump)

    def serves(self) -> bool:
        """Whether a server of the agent's own listens on its port: it would share the device with a measurement."""
        return any(_listens(process) for process in self.started if process.poll() is None)


def _listens(process: SandboxProcess) -> bool:
    try:
        process.connect(timeout_s=1.0).close()
    except OSError:
        return False
    return True


class Agent(Protocol):
    """One contestant."""

    name: str
    """Full name, as on the leaderboard."""

    @property
    def sha256(self) -> str:
        """Hash of what the agent brings along; two runs with different hashes are different agents."""

    def solve(self, session: SolveSession) -> Ended:
        """Work until done or until the clock is over. Leaves no process behind."""
