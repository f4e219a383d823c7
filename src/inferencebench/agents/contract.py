"""The agent contract: whatever turns a workspace and a budget into a submission.

A session gives an agent its workspace, its clock and a way to run commands behind the wall; what the agent leaves in
`workspace/submission` when the session ends is its answer.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from inferencebench.run.clock import Clock
from inferencebench.sandbox.contract import Sandbox, SandboxSpec
from inferencebench.suites.model import Scenario, Suite


class Ended(NamedTuple):
    """How an agent's work ended: `finished`, `deadline` or `failed`, and the exit code of its process if it had one."""

    how: str
    exit_code: int | None
    survivors: tuple[int, ...] = ()


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
    """Ready to start commands in the workspace: mounts, environment, limits."""
    log_dir: Path


class Agent(Protocol):
    """One contestant."""

    name: str
    """Full name, as on the leaderboard."""

    @property
    def sha256(self) -> str:
        """Hash of what the agent brings along; two runs with different hashes are different agents."""

    def solve(self, session: SolveSession) -> Ended:
        """Work until done or until the clock is over. Leaves no process behind."""
