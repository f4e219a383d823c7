"""A whole run of each real CLI on the tiny suite: a working server, a quick evaluation, a continuation, `passed`."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from inferencebench.agents.adapters import registry as adapters
from inferencebench.agents.prices import listed
from inferencebench.agents.usage import Usage
from inferencebench.engines import registry as engines
from tests.agents.llm_server import Action, Say, Shell, scripted
from tests.agents_real.conftest import MODELS, holds_no_key, installed
from tests.e2e.conftest import TINY, bench, campaign, command, kill_when, run_json  # noqa: F401

pytestmark = pytest.mark.timeout(600)  # the first one's time includes the baseline
SERVE = engines.get("llamacpp").default_launcher()
LAUNCHER = f"cat > submission/start_server.sh <<'END'\n{SERVE}\nEND\n"
WAIT = Shell("for i in $(seq 25); do test -e ended && break; sleep 1; done; cat said")
"""Some CLIs come back from a long command before its end."""
SCRIPT: list[Action] = [
    Shell("ls -la && cat task.json"),
    Say("I have looked around."),
    Shell(f"{LAUNCHER}./evaluate --quick --json > said 2>&1; touch ended"),
    WAIT,
    WAIT,
    Say("Done."),
]
SPOILED = Shell("echo 'exit 1' > submission/start_server.sh; ./ledger; ./ledger restore 1")
BUDGET = ("--budget", "120s")


def _solve_folder(campaign: Path, agent: str) -> Path:  # noqa: F811
    found = [p for p in campaign.glob("tiny/decode/*/*/21-1337/solve") if agent in (p.parent / "spec.json").read_text()]
    assert len(found) == 1
    return found[0]


def test_a_run_passes(name: str, campaign: Path, point: Callable[[str, str], None]) -> None:  # noqa: F811
    """One of them with the ledger, as in the README: what was evaluated is spoiled, listed and restored."""
    agent, ledger = f"{name}:{MODELS[name]}", name == "claude-code"
    script = [*SCRIPT[:-1], SPOILED, SCRIPT[-1]] if ledger else SCRIPT
    with scripted(script) as model:
        point(name, model.url)
        result = run_json(campaign, "decode", agent, *BUDGET, *(("--prompt", "ledger") if ledger else ()))
    assert result["outcome"] == "passed", result["reason"]
    solve = _solve_folder(campaign, agent)
    session = json.loads((solve / "session.json").read_text())
    assert [(e["quick"], e["ok"]) for e in session["evaluations"]] == [(True, True)], session
    assert (session["ended"], session["survivors"]) == ("finished", [])
    assert json.loads((solve / "session/state.json").read_text())["invocations"] >= 2
    _check_cost(result["cost"], MODELS[name])
    _check_trajectory(solve, name)
    if ledger:
        steps = [json.loads(line) for line in (solve / "trajectory.jsonl").read_text().splitlines()]
        told = [step["text"] for step in steps if step["kind"] == "result"]
        assert any("tpot_s, lower is better" in text and "1 is in submission/" in text for text in told), told
    assert holds_no_key(solve.parent)


def _check_cost(cost: dict[str, object], model: str) -> None:
    rows = {row["model"]: row for row in cost["models"]}  # type: ignore[attr-defined]
    usage = Usage.model_validate(rows[model]["usage"])
    assert usage.requests >= 4
    assert (usage.output_tokens, usage.cached_input_tokens) == (10 * usage.requests, 20 * usage.requests)
    assert rows[model]["usd"] == pytest.approx(listed().usd(model, usage))
    assert cost["api_usd"] == pytest.approx(sum(row["usd"] for row in rows.values()))
    assert cost["credential"] == "api_key"


def _check_trajectory(solve: Path, name: str) -> None:
    """The raw log, the steps, and the ATIF document by the format's own models."""
    assert (solve / "session/stdout-000.log").stat().st_size > 0
    atif = pytest.importorskip("atif")
    document = atif.Trajectory.model_validate_json((solve / "trajectory.atif.json").read_bytes())
    assert document.agent.version == adapters.get(name).package.version
    assert document.final_metrics.total_cost_usd > 0
    called = [call.arguments for step in document.steps for call in step.tool_calls or []]
    assert any("./evaluate --quick" in str(arguments) for arguments in called)
    shown = bench("trace", solve.parent).stdout
    assert "evaluation" in shown
    assert "I have looked around" in shown


def test_a_killed_harness_continues_the_session_and_its_clock(
    campaign: Path,  # noqa: F811
    point: Callable[[str, str], None],
) -> None:
    installed("claude-code")
    slow: list[Action] = [SCRIPT[0], Shell("sleep 8"), *SCRIPT[1:]]
    agent = "claude-code:claude-opus-4-7"
    with scripted(slow) as model:
        point("claude-code", model.url)
        argv = command("run", TINY, "decode", agent, "--out", campaign, *BUDGET)
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        kill_when(process, lambda: model.calls >= 2)
        solve = _solve_folder(campaign, agent)
        begun, state = ((solve / f).read_text() for f in ("begun.json", "session/state.json"))
        result = run_json(campaign, "decode", agent, *BUDGET)
    assert result["outcome"] == "passed", result["reason"]
    assert (solve / "begun.json").read_text() == begun
    after = json.loads((solve / "session/state.json").read_text())
    assert after["session_id"] == json.loads(state)["session_id"]
    assert after["invocations"] >= 2
    assert json.loads((solve / "session.json").read_text())["seconds"] <= 121
