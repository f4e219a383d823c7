"""`zoo:NAME` as an agent: what it leaves in the workspace, and where it refuses to work."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from inferencebench.agents import registry
from inferencebench.agents.contract import SolveSession
from inferencebench.errors import MissingError, UserError
from inferencebench.run.clock import Clock
from inferencebench.sandbox.contract import SandboxSpec
from inferencebench.suites.load import load


def session(workspace: Path, *, verified: bool = True) -> SolveSession:
    (workspace / "submission").mkdir(parents=True)
    (workspace / "dev_requests.jsonl").write_text("{}\n")
    suite = load("laptop-mini")
    wall = SimpleNamespace(name="wall", verified=verified)
    return SolveSession(suite, suite.scenarios[0], workspace, Clock(60), wall, SandboxSpec("/"), workspace)  # type: ignore[arg-type]


def test_the_submission_holds_the_fixture_and_what_it_uses(tmp_path: Path) -> None:
    agent = registry.get("zoo:hold_flush")
    assert agent.name == "zoo:hold_flush"
    assert agent.solve(session(tmp_path)).how == "finished"
    assert sorted(p.name for p in (tmp_path / "submission").iterdir()) == ["cheat.py", "front.py", "start_server.sh"]


def test_public_questions_come_with_their_answers(tmp_path: Path) -> None:
    registry.get("zoo:mmlu_key").solve(session(tmp_path))
    answers = json.loads((tmp_path / "submission" / "answers.json").read_text())
    assert answers["Complete the sentence: The capital city of France is"] == "Paris"


def test_dev_requests_come_from_the_workspace(tmp_path: Path) -> None:
    registry.get("zoo:dev_cache").solve(session(tmp_path))
    assert (tmp_path / "submission" / "dev_requests.jsonl").read_text() == "{}\n"


def test_no_cheat_is_run_without_a_wall(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="verified sandbox"):
        registry.get("zoo:tamper_eval").solve(session(tmp_path, verified=False))
    assert not list((tmp_path / "submission").iterdir())


def test_an_unknown_fixture_is_bad_input() -> None:
    with pytest.raises(UserError, match="no fixture 'nope'"):
        registry.get("zoo:nope")
