"""The four real CLIs in the sandbox, against a scripted model: worked, continued, metered, and no key inside."""

import dataclasses
import json
from pathlib import Path

import psutil
import pytest

from inferencebench.agents import install
from inferencebench.agents.adapters.registry import adapters
from inferencebench.agents.contract import SolveSession
from inferencebench.agents.session import CliAgent, Policy
from inferencebench.errors import MissingError
from inferencebench.run.clock import Clock
from inferencebench.sandbox import registry
from inferencebench.sandbox.contract import Mount, SandboxSpec
from inferencebench.suites.load import load
from tests.agents.llm_server import KEY, Action, Cut, Fail, Say, Shell, scripted

TINY = Path(__file__).parents[1] / "e2e" / "tiny.toml"
NAMES = ("claude-code", "codex", "opencode", "gemini-cli")
ROOT = {"openai": "/v1"}
MODELS = {"gemini-cli": "gemini-2.5-pro"}
SPY = "env > submission/env; cat /proc/*/environ /proc/*/cmdline > submission/proc 2>/dev/null; ls -la > submission/ls"


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    try:
        install.install(install.package(request.param))
    except MissingError as error:
        pytest.skip(str(error))
    return str(request.param)


def session(folder: Path, budget_s: float) -> SolveSession:
    for part in ("workspace/submission", "logs", "scratch"):
        (folder / part).mkdir(parents=True)
    suite = load(str(TINY))
    spec = SandboxSpec(cwd="/workspace", mounts=(Mount(folder / "workspace", "/workspace", writable=True),))
    spec = dataclasses.replace(spec, env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"})
    return SolveSession(
        suite, suite.scenarios[0], folder / "workspace", Clock(budget_s), registry.get(), spec, folder / "logs",
        scratch=folder / "scratch", prompt="Write a server.",
    )  # fmt: skip


def set_up(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    provider, _ = adapters()[name].provider("m")
    monkeypatch.setenv(provider.key_env, KEY)
    monkeypatch.setenv(provider.base_env, url + ROOT.get(provider.name, ""))


def test_works_is_continued_and_metered(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script: list[Action] = [
        Shell(SPY), Say("Done."), Shell("echo 'exec true' > submission/start_server.sh"), Say("Done now."),
    ]  # fmt: skip
    with scripted(script) as model:
        set_up(monkeypatch, name, model.url)
        the = session(tmp_path, 75)
        ended = CliAgent(adapters()[name], MODELS.get(name, "m-1"), Policy(last_resume_s=45)).solve(the)
    state = json.loads((tmp_path / "logs/session/state.json").read_text())
    assert (ended.how, ended.survivors) == ("finished", ()), state
    assert state["invocations"] >= 2
    assert (tmp_path / "workspace/submission/start_server.sh").read_text() == "exec true\n"
    assert (tmp_path / "workspace/submission/proc").stat().st_size > 0
    usage = json.loads((tmp_path / "logs/session/usage.json").read_text())["models"]
    assert sum(row["usage"]["output_tokens"] for row in usage) >= 40, usage
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "logs/trajectory.jsonl").read_text().splitlines()]
    assert kinds.count("prompt") == state["invocations"]
    assert {"tool", "result", "message", "end"} <= set(kinds), kinds
    assert model.keys == {KEY}
    for path in tmp_path.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert KEY.encode() not in path.read_bytes(), path


def test_a_refused_key_is_not_the_agents_failure(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted([Fail(401)]) as model:
        set_up(monkeypatch, name, model.url)
        with pytest.raises(MissingError, match=r"answered no call.*401"):
            CliAgent(adapters()[name], MODELS.get(name, "m-1"), Policy(last_resume_s=5)).solve(session(tmp_path, 25))


def test_a_hanging_tool_and_a_daemon_end_with_the_clock(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = f"{47130 + NAMES.index(name)}"  # other tests' processes are not ours to count
    script: list[Action] = [Shell(f"(setsid sleep {marker} & disown); trap '' TERM; sleep {marker}")]
    with scripted(script) as model:
        set_up(monkeypatch, name, model.url)
        the = session(tmp_path, 20)
        ended = CliAgent(adapters()[name], MODELS.get(name, "m-1")).solve(the)
    assert (ended.how, ended.survivors) == ("deadline", ())
    assert the.clock.elapsed_s < 21
    assert (tmp_path / "logs/session/requests.jsonl").exists()
    assert not [p for p in psutil.process_iter(["cmdline"]) if marker in (p.info["cmdline"] or [])]


def test_a_cut_stream_is_survived(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script: list[Action] = [Cut(), Shell("echo here > submission/a"), Say("Done.")]
    with scripted(script) as model:
        set_up(monkeypatch, name, model.url)
        ended = CliAgent(adapters()[name], MODELS.get(name, "m-1"), Policy(last_resume_s=20)).solve(
            session(tmp_path, 45)
        )
    assert ended.how == "finished"
    assert (tmp_path / "workspace/submission/a").read_text() == "here\n"
