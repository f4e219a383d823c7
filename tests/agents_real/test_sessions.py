"""The four real CLIs in the sandbox, against a scripted model: worked, continued, metered, and no key inside."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.agents.llm_server import KEY, Action, Say, Shell, scripted
from tests.agents_real.conftest import MODELS, agent, holds_no_key, session

SPY = "env > submission/env; cat /proc/*/environ /proc/*/cmdline > submission/proc 2>/dev/null; ls -la > submission/ls"
SCRIPT: list[Action] = [
    Shell(SPY), Say("Done."), Shell("echo 'exec true' > submission/start_server.sh"), Say("Done now."),
]  # fmt: skip


def test_works_is_continued_and_metered(name: str, tmp_path: Path, point: Callable[[str, str], None]) -> None:
    """With a network condition, since its proxy's variables must not lead the CLI away from its model."""
    with scripted(SCRIPT) as model:
        point(name, model.url)
        ended = agent(name, last_resume_s=25).solve(session(tmp_path, 50, net="mirror"))
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
