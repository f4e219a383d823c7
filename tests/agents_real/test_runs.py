"""A whole run of each real CLI on the tiny suite: a working server, a quick evaluation, a continuation, `passed`."""

import json
import subprocess
from pathlib import Path

import pytest

from inferencebench.agents import install
from inferencebench.engines import registry as engines
from tests.agents.llm_server import KEY, Action, Say, Shell, scripted
from tests.agents_real.test_sessions import name, set_up  # noqa: F401
from tests.e2e.conftest import TINY, bench, campaign, command, kill_when, run_json  # noqa: F401

SERVE = engines.get("llamacpp").default_launcher()
SCRIPT: list[Action] = [
    Shell("ls -la && cat task.json"),
    Say("I have looked around."),
    Shell(f"cat > submission/start_server.sh <<'END'\n{SERVE}\nEND\n./evaluate --quick --json"),
    Say("Done."),
]


def test_a_run_passes(name: str, campaign: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    with scripted(SCRIPT) as model:
        set_up(monkeypatch, name, model.url)
        agent = f"{name}:{'gemini-2.5-pro' if name == 'gemini-cli' else 'm-1'}"
        result = run_json(campaign, "decode", agent, "--budget", "120s")
    assert result["outcome"] == "passed", result["reason"]
    solve = next(campaign.glob(f"tiny/decode/{name}*/*/21-1337/solve"))
    session = json.loads((solve / "session.json").read_text())
    assert [(e["quick"], e["ok"]) for e in session["evaluations"]] == [(True, True)], session
    assert session["survivors"] == []
    assert json.loads((solve / "session/state.json").read_text())["invocations"] >= 2
    assert json.loads((solve / "session/usage.json").read_text())["models"]
    for path in solve.parent.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert KEY.encode() not in path.read_bytes(), path


def test_a_killed_harness_continues_the_session_and_its_clock(
    campaign: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install.install(install.package("claude-code"))
    slow: list[Action] = [SCRIPT[0], Shell("sleep 8"), *SCRIPT[1:]]
    with scripted(slow) as model:
        set_up(monkeypatch, "claude-code", model.url)
        argv = command("run", TINY, "decode", "claude-code:m-2", "--out", campaign, "--budget", "110s")
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        kill_when(process, lambda: model.calls >= 2)
        solve = next(campaign.glob("tiny/decode/claude-code-m-2*/*/21-1337/solve"))
        begun, state = ((solve / f).read_text() for f in ("begun.json", "session/state.json"))
        result = run_json(campaign, "decode", "claude-code:m-2", "--budget", "110s")
    assert result["outcome"] == "passed", result["reason"]
    assert (solve / "begun.json").read_text() == begun
    after = json.loads((solve / "session/state.json").read_text())
    assert after["session_id"] == json.loads(state)["session_id"]
    assert after["invocations"] >= 2
    assert json.loads((solve / "session.json").read_text())["seconds"] <= 111
