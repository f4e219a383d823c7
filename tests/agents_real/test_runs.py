"""A whole run of each real CLI on the tiny suite: a working server, a quick evaluation, a continuation, `passed`."""

import json
from pathlib import Path

import pytest

from inferencebench.engines import registry as engines
from tests.agents.llm_server import KEY, Action, Say, Shell, scripted
from tests.agents_real.test_sessions import name, set_up  # noqa: F401
from tests.e2e.conftest import bench, campaign, run_json  # noqa: F401

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
