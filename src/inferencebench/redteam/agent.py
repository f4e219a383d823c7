"""`zoo:NAME`: a fixture as an agent, so that it is frozen, relaunched, measured and judged like any other row."""

import json
import shutil
import time

from inferencebench.agents.contract import Ended, SolveSession
from inferencebench.errors import MissingError
from inferencebench.files import write_atomic
from inferencebench.paths import SUBMISSION
from inferencebench.redteam.model import Fixture, Material, load

BUILD = "build.sh"
"""A fixture with this script has it run in the agent's sandbox, where it may make checkpoints."""
POLL_S = 0.1


class ZooAgent:
    """Copies a fixture's submission into the workspace, and builds it there if it has to be built."""

    def __init__(self, name: str) -> None:
        self._fixture: Fixture = load(name)
        self.name = f"zoo:{name}"

    @property
    def sha256(self) -> str:
        """Hash of the fixture's files."""
        return self._fixture.sha256

    def solve(self, session: SolveSession) -> Ended:
        """Leave the submission.

        Raises MissingError without a real wall: some fixtures attack what is around them."""
        if not session.sandbox.verified:
            raise MissingError(f"{self.name}: only run behind a verified sandbox; see `inferencebench doctor`")
        submission = session.workspace / "submission"
        for name, path in self._fixture.files.items():
            target = submission / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        for material in self._fixture.brings:
            _bring(material, session)
        if (submission / BUILD).exists():
            return _build(session)
        return Ended("finished", None)


def _bring(material: Material, session: SolveSession) -> None:
    """Put something public beside the submission's code."""
    submission = session.workspace / "submission"
    if material == "dev_requests":
        shutil.copy(session.workspace / "dev_requests.jsonl", submission / "dev_requests.jsonl")
        return
    from inferencebench.workload.questions.sources import load_questions

    answers = {q.messages[-1].content: q.gold for q in load_questions(session.suite.quality.dataset)}
    write_atomic(submission / "answers.json", json.dumps(answers, ensure_ascii=False))


def _build(session: SolveSession) -> Ended:
    command = session.start(["/bin/bash", f"{SUBMISSION}/{BUILD}"])
    try:
        while (code := command.poll()) is None and not session.clock.over:
            time.sleep(min(POLL_S, session.clock.remaining_s))
    finally:
        report = command.terminate()
    return Ended("deadline" if code is None else "finished", code, report.survivors)
