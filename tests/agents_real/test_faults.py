"""What the four real CLIs do when things go wrong: each ends as documented, in its bound, and leaves no process."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from inferencebench.agents.contract import Ended, SolveSession
from inferencebench.errors import MissingError
from inferencebench.serve.logs import CAP_BYTES
from tests.agents.llm_server import Action, Cut, Fail, Say, Shell, scripted
from tests.agents_real.conftest import MODELS, agent, holds_no_key, session

Point = Callable[[str, str], None]
STARTED_S = 45.0
"""A budget in which every CLI makes its first call, several at a time on a slow machine."""
SLACK_S = 3.0
"""A session may outlast its budget by so much: the end of its last process is waited for."""


@contextmanager
def bounded(the: SolveSession) -> Iterator[None]:
    """What any session must keep to: its time, no process left, no key in anything it wrote."""
    yield
    assert the.clock.elapsed_s < the.clock.budget_s + SLACK_S
    assert [p.pid for process in the.started for p in _alive(process.pids())] == []
    assert holds_no_key(the.workspace.parent)


def _alive(pids: tuple[int, ...]) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]


def solve(name: str, folder: Path, point: Point, script: list[Action], budget_s: float, last_s: float) -> Ended:
    """The end of a session with this script."""
    with scripted(script) as model:
        point(name, model.url)
        the = session(folder, budget_s)
        with bounded(the):
            return agent(name, last_s).solve(the)


def marked(name: str, offset: int) -> str:
    """An argument by which a test's own process is known: other tests' are not ours to count."""
    return f"{47000 + 10 * offset + list(MODELS).index(name)}"


def running(marker: str) -> list[int]:
    """Processes with that argument."""
    return [p.pid for p in psutil.process_iter(["cmdline"]) if marker in (p.info["cmdline"] or [])]


@pytest.mark.parametrize("status", [401, 429, 529])
def test_a_provider_that_never_answers_is_not_the_agents_failure(
    name: str, status: int, tmp_path: Path, point: Point
) -> None:
    """Nothing is scored, and the command ends with 3. A refused key is not tried until the end of the budget."""
    budget_s, last_s = (60.0, 10.0) if status == 401 else (STARTED_S, 5.0)
    with scripted([Fail(status)]) as model:
        point(name, model.url)
        the = session(tmp_path, budget_s)
        with bounded(the), pytest.raises(MissingError, match=rf"answered no call.*{status}"):
            agent(name, last_s).solve(the)
    if status == 401:
        assert the.clock.elapsed_s < 45


def test_a_cut_stream_is_survived(name: str, tmp_path: Path, point: Point) -> None:
    ended = solve(name, tmp_path, point, [Cut(), Shell("echo here > submission/a"), Say("Done.")], 60, 25)
    assert ended.how == "finished"
    assert (tmp_path / "workspace/submission/a").read_text() == "here\n"


def test_a_hanging_tool_and_a_daemon_end_with_the_clock(name: str, tmp_path: Path, point: Point) -> None:
    marker = marked(name, 1)
    script: list[Action] = [Shell(f"(setsid sleep {marker} & disown); trap '' TERM; sleep {marker}")]
    ended = solve(name, tmp_path, point, script, STARTED_S, 5)
    assert (ended.how, ended.survivors) == ("deadline", ())
    assert running(marker) == []


def test_a_daemon_does_not_outlive_the_invocation_that_left_it(name: str, tmp_path: Path, point: Point) -> None:
    marker = marked(name, 2)
    script: list[Action] = [
        Shell(f"nohup setsid sleep {marker} > /dev/null 2>&1 & echo started"),
        Say("Done."),
        Shell("for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f; echo; done > submission/seen 2>/dev/null"),
        Say("Done."),
    ]
    ended = solve(name, tmp_path, point, script, 60, 25)
    assert (ended.how, ended.survivors) == ("finished", ())
    seen = (tmp_path / "workspace/submission/seen").read_text()
    assert f"sleep {marker}" not in seen
    assert len(seen.splitlines()) > 2
    assert running(marker) == []


def test_a_deleted_workspace_does_not_stop_the_session(name: str, tmp_path: Path, point: Point) -> None:
    script: list[Action] = [
        Shell("rm -rf /workspace/* /workspace/.[!.]* ~/.config/nothing; ls -A /workspace"),
        Say("Gone."),
        Shell("mkdir -p submission && echo back > submission/a"),
        Say("Done."),
    ]
    assert solve(name, tmp_path, point, script, 60, 25).how == "finished"
    assert (tmp_path / "workspace/submission/a").read_text() == "back\n"


def test_fifty_megabytes_of_output_are_bounded(name: str, tmp_path: Path, point: Point) -> None:
    flood = "head -c 50000000 /dev/zero | tr '\\0' x; echo end > submission/end"
    ended = solve(name, tmp_path, point, [Shell(flood), Say("Done.")], 60, 50)
    # Gemini CLI may exit, with code 0, before its last events are written: without them it counts as crashed.
    assert ended.how in (("finished", "failed") if name == "gemini-cli" else ("finished",))
    assert (tmp_path / "workspace/submission/end").exists()
    for log in (tmp_path / "logs/session").glob("std*.log"):
        assert log.stat().st_size < 2 * CAP_BYTES
    steps = [json.loads(line) for line in (tmp_path / "logs/trajectory.jsonl").read_text().splitlines()]
    assert all(len(step["text"]) <= 20_000 for step in steps)


def test_a_model_that_says_nothing_is_asked_again_with_pauses(name: str, tmp_path: Path, point: Point) -> None:
    ended = solve(name, tmp_path, point, [Say("")], STARTED_S, 5)
    assert ended.how in ("finished", "failed", "deadline")
    state = json.loads((tmp_path / "logs/session/state.json").read_text())
    assert 1 <= state["invocations"] <= 10
