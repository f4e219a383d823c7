"""The four real CLIs in the sandbox, against a scripted model: worked, continued, metered, and no key inside."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agents.llm_server import KEY, Action, Say, Shell, scripted
from tests.agents_real.conftest import MODELS, agent, holds_no_key, installed, session

Point = Callable[[str, str], None]
SPY = "env > submission/env; cat /proc/*/environ /proc/*/cmdline > submission/proc 2>/dev/null; ls -la > submission/ls"
SCRIPT: list[Action] = [
    Shell(SPY), Say("Done."), Shell("echo 'exec true' > submission/start_server.sh"), Say("Done now."),
]  # fmt: skip


def test_works_is_continued_and_metered(name: str, tmp_path: Path, point: Point) -> None:
    """With a network condition, since its proxy's variables must not lead the CLI away from its model."""
    with scripted(SCRIPT) as model:
        point(name, model.url)
        ended = agent(name, last_resume_s=25).solve(session(tmp_path, 60, net="mirror"))
    logs = tmp_path / "logs"
    state = json.loads((logs / "session/state.json").read_text())
    assert (ended.how, ended.survivors) == ("finished", ()), state
    assert state["invocations"] >= 2
    assert (tmp_path / "workspace/submission/start_server.sh").read_text() == "exec true\n"
    assert "HTTPS_PROXY=http://127.0.0.1:4180" in (tmp_path / "workspace/submission/env").read_text()
    assert (tmp_path / "workspace/submission/proc").stat().st_size > 0
    usage = json.loads((logs / "session/usage.json").read_text())["models"]
    assert sum(row["usage"]["output_tokens"] for row in usage) >= 40, usage
    assert all(row["usd"] > 0 for row in usage if row["model"] == MODELS[name]), usage
    kinds = [json.loads(line)["kind"] for line in (logs / "trajectory.jsonl").read_text().splitlines()]
    assert kinds.count("prompt") == state["invocations"]
    assert {"tool", "result", "message", "end"} <= set(kinds), kinds
    assert model.keys == {KEY}
    assert holds_no_key(tmp_path)


LOGIN = {"access_token": KEY, "account_id": "acc-1", "refresh_token": "rt-secret-4711", "id_token": "it-secret-4711"}


@pytest.mark.parametrize(
    ("name", "variable", "kind"),
    [("claude-code", "CLAUDE_CODE_OAUTH_TOKEN", "oauth_token"), ("codex", "CODEX_AUTH_FILE", "auth_file")],
)
def test_a_subscription_works_and_stays_outside(
    name: str,
    variable: str,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    point: Point,
) -> None:
    """Neither CLI knows that what it holds is a placeholder, and the record says how the calls were paid for."""
    installed(name)
    login = tmp_path / "login.json"
    login.write_text(json.dumps({"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": LOGIN}))
    with scripted(SCRIPT) as model:
        point(name, model.url)
        for key in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
            monkeypatch.delenv(key, raising=False)
        monkeypatch.setenv(variable, KEY if kind == "oauth_token" else str(login))
        ended = agent(name, last_resume_s=25).solve(session(tmp_path / "run", 60))
    assert ended.how == "finished"
    assert model.keys == {KEY}
    assert json.loads((tmp_path / "run/logs/session/usage.json").read_text())["credential"] == kind
    assert (tmp_path / "run/workspace/submission/start_server.sh").exists()
    assert holds_no_key(tmp_path / "run")
