"""What an agent needs is asked for before anything is prepared or measured for it."""

from pathlib import Path

import pytest

from inferencebench.agents import registry as agents
from inferencebench.engines import registry as engines
from inferencebench.engines.contract import Availability
from inferencebench.errors import MissingError
from inferencebench.run import pipeline, stages
from inferencebench.run.bench import Bench
from inferencebench.run.spec import Condition, RunSpec
from inferencebench.suites.load import load

TINY = Path(__file__).parents[1] / "e2e" / "tiny.toml"
HERE = Availability(ok=True, detail="1.0")
ABSENT = Availability(ok=False, detail="not installed", remedy="pip install vllm")
ENGINE, SEARCH = "engine:vllm", "search:tpe?engine=llamacpp,vllm"


class Reached(Exception):
    """The first phase was begun."""


@pytest.fixture(autouse=True)
def without_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(run: stages.RunContext) -> stages.Prepared:
        raise Reached

    monkeypatch.setattr(type(engines.get("vllm")), "availability", lambda self: ABSENT if self.name == "vllm" else HERE)
    monkeypatch.setattr(stages, "prepare", prepare)


def spec_of(agent: str) -> RunSpec:
    suite = load(str(TINY))
    return RunSpec.create(
        suite,
        scenario=suite.scenarios[0].name,
        agent=agent,
        agent_sha256=agents.get(agent).sha256,
        condition=Condition(),
        seed_pair=suite.seed_pairs[0],
        sandbox="process",
    )


@pytest.mark.parametrize("agent", [ENGINE, SEARCH])
def test_an_absent_engine_is_said_before_anything_is_measured(tmp_path: Path, agent: str) -> None:
    with pytest.raises(MissingError, match=r"vllm.*: not installed; pip install vllm") as caught:
        pipeline.run(spec_of(agent), Bench(load(str(TINY)), tmp_path))
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith(agent)


@pytest.mark.parametrize("agent", [ENGINE, SEARCH])
def test_a_solved_run_goes_on_without_the_engine(tmp_path: Path, agent: str) -> None:
    spec = spec_of(agent)
    solved = spec.directory(tmp_path) / "solve" / "session.json"
    solved.parent.mkdir(parents=True)
    solved.write_text("{}")
    with pytest.raises(Reached):
        pipeline.run(spec, Bench(load(str(TINY)), tmp_path))
