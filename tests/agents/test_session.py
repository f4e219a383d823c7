"""A session's rules, with a small agent program in a real sandbox against a scripted model over the real proxy."""

import dataclasses
import json
import shutil
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from inferencebench.agents import contract
from inferencebench.agents.adapters.contract import Adapter, Setup, step
from inferencebench.agents.contract import Ended, SolveSession
from inferencebench.agents.install import Package
from inferencebench.agents.providers import ANTHROPIC
from inferencebench.agents.session import CliAgent, Policy, options
from inferencebench.agents.trajectory import Step, StepKind
from inferencebench.errors import MissingError, UserError
from inferencebench.run.clock import Clock
from inferencebench.sandbox import registry
from inferencebench.sandbox.contract import Mount, SandboxSpec
from inferencebench.sandbox.environment import engine_view
from inferencebench.suites.load import load
from tests.agents.llm_server import KEY, Action, Cut, Fail, Model, Say, Shell, scripted

TINY = Path(__file__).parents[1] / "e2e" / "tiny.toml"
FAST = Policy(last_resume_s=4.0, instant_s=0.0, backoff_s=0.05, max_backoff_s=0.4, term_s=0.5, limit_s=0.5)
LEFT_S = 3.0
"""Too little to be continued, and enough for a command-line agent to end by itself."""


def _parse(event: dict[str, Any]) -> list[Step]:
    kinds = {"end": StepKind.END, "tool": StepKind.TOOL, "start": StepKind.MESSAGE}
    return [step(kinds[event["kind"]], json.dumps(event), ok=event.get("ok"))]


def _environment(setup: Setup) -> dict[str, str]:
    return {"BASE_URL": setup.base_url, "KEY": setup.placeholder, "MODEL": setup.model}


FAKE = Adapter(
    package=Package(name="fake", npm="fake", version="1", program="fake"),
    providers={"": ANTHROPIC},
    environment=_environment,
    files=lambda setup: {".fake/config": setup.model},
    start=lambda setup, prompt: ["fake", "start", setup.session_id, prompt],
    resume=lambda setup, prompt: ["fake", "resume", setup.session_id, prompt],
    parser=lambda: _parse,
)


@dataclasses.dataclass(frozen=True)
class Played(Clock):
    """A clock on which little is left once the model was asked so often: no session waits for its budget to pass."""

    budget_s: float = 60.0
    model: Model = dataclasses.field(kw_only=True)
    calls: int = 0
    """By default the whole script."""

    @property
    def elapsed_s(self) -> float:
        """Real seconds, or all but the last that no longer suffice to be continued."""
        told = self.model.calls >= (self.calls or len(self.model.script))
        return max(super().elapsed_s, self.budget_s - LEFT_S if told else 0.0)


class Desk:
    """A fake CLI that is installed, and a place to work."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = FAKE.package.folder / "node_modules" / ".bin" / "fake"
        program.parent.mkdir(parents=True)
        program.write_text('#!/bin/sh\nexec "$IB_PYTHON" -I -S /opt/agent/fake.py "$@"\n')
        program.chmod(0o755)
        shutil.copy(Path(__file__).parent / "fake_cli.py", FAKE.package.folder / "fake.py")
        for part in ("workspace/submission", "logs", "scratch"):
            (folder / part).mkdir(parents=True)

    def session(self, clock: Clock) -> SolveSession:
        view = engine_view()
        mounts = (*view.mounts, Mount(self.folder / "workspace", "/workspace", writable=True))
        spec = SandboxSpec(cwd="/workspace", mounts=mounts, masked=view.masked, env=view.env)
        suite = load(str(TINY))
        return SolveSession(
            suite, suite.scenarios[0], self.folder / "workspace", clock, registry.get(), spec, self.folder / "logs",
            scratch=self.folder / "scratch", prompt="Write a server.",
        )  # fmt: skip

    def solve(self, clock: Clock, rest: str = "m-1", policy: Policy = FAST) -> Ended:
        return CliAgent(FAKE, rest, policy).solve(self.session(clock))

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "logs/session/state.json").read_text())
        return found

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "logs" / name).read_text().splitlines()]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("INFERENCEBENCH_CACHE", str(tmp_path / "cache"))
    return Desk(tmp_path / "desk")


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    with scripted(request.param) as made:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", made.url)
        yield made


def script(*actions: Action) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("model", [list(actions)], indirect=True)


@script(
    Shell("echo a > submission/a; echo kept > ~/note; echo kept > /tmp/note"),
    Say("x"),
    Shell("cat ~/note /tmp/note > submission/b"),
    Say("y"),
)
def test_an_early_exit_is_continued_with_its_home(desk: Desk, model: Any) -> None:
    ended = desk.solve(Played(model=model))
    assert (ended.how, ended.exit_code) == ("finished", 0)
    assert (desk.folder / "workspace/submission/b").read_text() == "kept\nkept\n"
    steps = desk.rows("trajectory.jsonl")
    prompts = [s["text"] for s in steps if s["kind"] == "prompt"]
    assert prompts[0] == "Write a server."
    assert " s of the budget are left" in prompts[1]
    assert [s["at_s"] for s in steps] == sorted(s["at_s"] for s in steps)
    starts = [json.loads(s["text"])["argv"] for s in steps if s["kind"] == "message"]
    assert [argv[0] for argv in starts[:2]] == ["start", "resume"]
    assert len({argv[1] for argv in starts}) == 1
    assert model.keys == {KEY}
    usage = json.loads((desk.folder / "logs/session/usage.json").read_text())
    assert usage["credential"] == "api_key"
    (row,) = usage["models"]
    requests = row["usage"]["requests"]
    assert row["usage"]["input_tokens"] == 100 * requests
    assert row["usage"]["cached_input_tokens"] == 20 * requests
    assert row["usage"]["cache_write_tokens"] == 5 * requests
    assert row["usage"]["output_tokens"] == 10 * requests


@script(Say("x"))
def test_a_subscription_is_used_in_the_same_way(desk: Desk, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", "token-4711")
    assert desk.solve(Played(model=model)).how == "finished"
    assert model.keys == {"token-4711"}
    assert json.loads((desk.folder / "logs/session/usage.json").read_text())["credential"] == "oauth_token"


@script(Fail(401))
def test_a_refused_key_ends_at_once_and_is_not_scored(desk: Desk, model: Any) -> None:
    began = time.monotonic()
    with pytest.raises(MissingError, match=r"answered no call of m-1 \(1 calls, the last gave 401\)"):
        desk.solve(Clock(60))
    assert time.monotonic() - began < 30
    for path in desk.folder.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path  # the provider's error repeats it


@pytest.mark.parametrize("model", [[Fail(429)], [Fail(529)]], indirect=True)
def test_an_endless_overload_ends_with_the_clock(desk: Desk, model: Any) -> None:
    with pytest.raises(MissingError, match=r"the last gave (429|529)"):
        desk.solve(Played(model=model, calls=3))
    assert desk.state["invocations"] == 3


@script(Shell("true"), Fail(404))
def test_refused_requests_are_hopeless_after_three(desk: Desk, model: Any) -> None:
    ended = desk.solve(Clock(60))
    assert (ended.how, desk.state["reason"]) == ("failed", "the provider refuses every request")
    assert desk.state["invocations"] == 3


@script(Shell("true"), Cut(), Shell("echo a > submission/a"), Say("x"))
def test_a_cut_stream_is_cut_for_the_agent_and_continued(desk: Desk, model: Any) -> None:
    assert desk.solve(Played(model=model)).how == "finished"
    assert (desk.folder / "workspace/submission/a").exists()
    calls = desk.rows("session/requests.jsonl")
    assert [call["error"] for call in calls[:3]] == [None, "cut: RemoteProtocolError", None]
    assert calls[1]["usage"]["input_tokens"] == 100  # told at the stream's beginning


@script(Shell("(setsid sleep 4712 & disown); trap '' TERM; sleep 4712"))
def test_a_hanging_tool_and_its_daemon_end_at_the_deadline(desk: Desk, model: Any) -> None:
    began = time.monotonic()
    ended = desk.solve(Clock(6))
    assert (ended.how, ended.survivors) == ("deadline", ())
    assert time.monotonic() - began < 60, "the tool sleeps for more than an hour"
    assert not [p for p in psutil.process_iter(["cmdline"]) if "4712" in (p.info["cmdline"] or [])]


@script(Shell("rm -rf /workspace/* ~/.fake; ls -A /workspace > /tmp/left"), Say("x"), Shell("cat /tmp/left"), Say("y"))
def test_a_deleted_workspace_does_not_stop_the_session(desk: Desk, model: Any) -> None:
    assert desk.solve(Played(model=model)).how == "finished"
    assert list((desk.folder / "workspace").iterdir()) == []


@script(Shell("head -c 50000000 /dev/zero | tr '\\0' x"), Say("x"))
def test_a_flood_is_capped_and_the_end_is_still_seen(desk: Desk, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "CAP_BYTES", 1 << 20)
    assert desk.solve(Played(model=model)).how == "finished"
    assert (desk.folder / "logs/session/stdout-000.log").stat().st_size < 2 << 20


@script(Say(""))
def test_a_model_that_replies_nothing_is_asked_again_with_pauses(desk: Desk, model: Any) -> None:
    ended = desk.solve(Played(model=model, calls=5), policy=FAST._replace(instant_s=60.0, backoff_s=0.1))
    assert (ended.how, desk.state["invocations"]) == ("finished", 5)
    asked = [row["at_s"] for row in desk.rows("trajectory.jsonl") if row["kind"] == "prompt"]
    for pause_s, (before, after) in zip((0.1, 0.2, 0.4, 0.4), pairwise(asked), strict=True):
        assert after - before > pause_s


@pytest.mark.parametrize(
    ("model", "limit"), [([Shell("true")], "turns=3"), ([Shell("true")], "tokens=400")], indirect=["model"]
)
def test_a_limit_ends_the_session(desk: Desk, model: Any, limit: str) -> None:
    ended = desk.solve(Clock(60), f"m-1?{limit}")
    assert ended.how == "limit"
    assert "limit of" in desk.state["reason"]
    calls = desk.rows("session/requests.jsonl")
    assert len([c for c in calls if c["refused"] is None]) in (3, 4)


@script(Shell("true"))
def test_a_limit_in_dollars_ends_the_session(desk: Desk, model: Any) -> None:
    assert desk.solve(Clock(60), "claude-haiku-4-5?usd=0.0003").how == "limit"
    (row,) = json.loads((desk.folder / "logs/session/usage.json").read_text())["models"]
    each = 1e-6 * (100 * 1 + 20 * 0.1 + 5 * 1.25 + 10 * 5)
    assert row["usd"] == pytest.approx(each * row["usage"]["requests"])
    assert 0.0003 <= row["usd"] < 0.0003 + 2 * each


@script(Say("x"))
def test_a_limit_in_dollars_needs_a_price(desk: Desk, model: Any) -> None:
    with pytest.raises(MissingError, match=r"the price of m-1; add it to prices\.toml"):
        desk.solve(Clock(60), "m-1?usd=1")
    assert model.calls == 0


CONNECT = (
    "import http.client as c, os; h = c.HTTPConnection('127.0.0.1', 4180); h.set_tunnel('127.0.0.1', 4180); "
    "h.request('GET', '/v1/models', headers={'x-api-key': os.environ['KEY']}); print(h.getresponse().status)"
)


@script(Shell(f'"$IB_PYTHON" -I -c "{CONNECT}" > submission/models; echo $HTTPS_PROXY >> submission/models'), Say("x"))
def test_with_a_network_the_model_is_reached_all_the_same(desk: Desk, model: Any) -> None:
    session = dataclasses.replace(desk.session(Played(model=model)), net="open")
    assert CliAgent(FAKE, "m-1", FAST).solve(session).how == "finished"
    assert (desk.folder / "workspace/submission/models").read_text() == "200\nhttp://127.0.0.1:4180\n"
    assert {call["status"] for call in desk.rows("session/requests.jsonl")} == {200}


@script(Shell("echo $(($(cat n 2>/dev/null || echo 0) + 1)) > n; sleep 0.2"))
def test_a_crash_of_the_harness_continues_with_the_same_clock(
    desk: Desk, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(CliAgent, "name", "x", raising=False)
        patch.setattr("inferencebench.agents.events.EventReader.read", _dies_after(5))
        with pytest.raises(SystemExit):
            CliAgent(FAKE, "m-1", FAST).solve(desk.session(Clock.since(10, epoch)))
    before = desk.state
    assert (before["invocations"], before["ended"]) == (1, None)
    ended = CliAgent(FAKE, "m-1", FAST).solve(desk.session(Clock.since(10, epoch)))
    assert ended.how == "deadline"
    assert 9 < time.time() - epoch < 14, "a clock of its own would have ended after 14.5 s"
    assert desk.state["session_id"] == before["session_id"]
    assert desk.state["invocations"] == 2
    assert len({call["invocation"] for call in desk.rows("session/requests.jsonl")}) == 2


def _dies_after(seconds: float) -> Any:
    began = time.monotonic()

    def read(*args: object, **named: object) -> None:
        if time.monotonic() - began > seconds:
            raise SystemExit

    return read


def test_a_missing_key_is_one_line(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("CLAUDE_CODE_OAUTH_TOKEN", raising=False)
    with pytest.raises(MissingError, match="set ANTHROPIC_API_KEY"):
        CliAgent(FAKE, "m-1").ready()


@pytest.mark.parametrize("rest", ["?effort=high", "m?turns=x", "m?turns=0", "m?usd=-1", "m?colour=red", "m?effort="])
def test_a_bad_name_is_told(rest: str) -> None:
    with pytest.raises(UserError, match=r"write it as fake:MODEL"):
        options("fake", rest)


POST = "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1], b'x'))"
TRY_OTHER_CALLS = "\n".join(
    f'"$IB_PYTHON" -I -S -c "{POST}" "$BASE_URL{path}"' for path in ("/v1/files", "/admin", "/v1/messages/batches")
)


@script(Shell(f"{TRY_OTHER_CALLS}\ncat /proc/*/environ > submission/env"), Say("x"))
def test_only_calls_of_the_model_pass_and_the_key_is_nowhere(desk: Desk, model: Any) -> None:
    desk.solve(Played(model=model))
    refused = [call for call in desk.rows("session/requests.jsonl") if call["refused"]]
    assert [call["path"] for call in refused[:3]] == ["/v1/files", "/admin", "/v1/messages/batches"]
    assert b"placeholder" in (desk.folder / "workspace/submission/env").read_bytes()
    for path in desk.folder.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    assert dataclasses.asdict(desk.session(Clock(1)).spec)["env"].get("ANTHROPIC_API_KEY") is None
