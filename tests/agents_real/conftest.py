"""The real command-line agents: installed once, and pointed at a scripted model."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from inferencebench.agents import install
from inferencebench.agents.adapters import registry as adapters
from inferencebench.agents.contract import SolveSession
from inferencebench.agents.session import CliAgent, Policy
from inferencebench.errors import MissingError
from inferencebench.run.clock import Clock
from inferencebench.run.spec import Net
from inferencebench.sandbox import registry
from inferencebench.sandbox.contract import Mount, SandboxSpec
from inferencebench.suites.load import load
from tests.agents.llm_server import KEY

TINY = Path(__file__).parents[1] / "e2e" / "tiny.toml"
MODELS = {
    "claude-code": "claude-haiku-4-5",
    "codex": "gpt-5.4-mini",
    "opencode": "gpt-5.4",
    "gemini-cli": "gemini-2.5-pro",
}
ROOT = {"openai": "/v1"}


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return installed(request.param)


def installed(name: str) -> str:
    """Installs the CLI; skips where its registry cannot be reached."""
    try:
        install.install(install.package(name))
    except MissingError as error:
        pytest.skip(str(error))
    return name


@pytest.fixture
def point(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Gives a CLI its key, and the address of the scripted model as its provider's."""

    def set_up(name: str, url: str) -> None:
        provider, _ = adapters.get(name).provider("m")
        monkeypatch.setenv(provider.key_env, KEY)
        monkeypatch.setenv(provider.base_env, url + ROOT.get(provider.name, ""))

    return set_up


def session(folder: Path, budget_s: float, net: Net = "none") -> SolveSession:
    """A session in an empty workspace, in the real sandbox."""
    for part in ("workspace/submission", "logs", "scratch"):
        (folder / part).mkdir(parents=True)
    suite = load(str(TINY))
    spec = SandboxSpec(cwd="/workspace", mounts=(Mount(folder / "workspace", "/workspace", writable=True),))
    spec = dataclasses.replace(spec, env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"})
    return SolveSession(
        suite, suite.scenarios[0], folder / "workspace", Clock(budget_s), registry.get(), spec, folder / "logs",
        scratch=folder / "scratch", prompt="Write a server.", net=net,
    )  # fmt: skip


def agent(name: str, last_resume_s: float) -> CliAgent:
    """The CLI with its model, that is not continued with less than `last_resume_s` left."""
    return CliAgent(adapters.get(name), MODELS[name], Policy(last_resume_s=last_resume_s))


def holds_no_key(folder: Path) -> bool:
    """Whether the real key is in none of the files below."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 5
    return not any(KEY.encode() in path.read_bytes() for path in files)
