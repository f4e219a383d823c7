"""A campaign directory that goes away while a run works: what is missing there is no fault of the input."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from inferencebench.errors import InfrastructureError, UserError
from inferencebench.run import pipeline
from inferencebench.run.bench import Bench
from inferencebench.run.spec import Condition, RunSpec
from inferencebench.suites.load import load

TINY = Path(__file__).parents[1] / "e2e" / "tiny.toml"


@pytest.mark.parametrize("kind", [UserError, FileNotFoundError])
@pytest.mark.parametrize("away", [True, False])
def test_an_error_in_a_directory_that_went_away_is_infrastructure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], away: bool
) -> None:
    suite = load(str(TINY))
    bench = Bench(suite, tmp_path / "out")
    spec = RunSpec.create(
        suite, scenario="decode", agent="engine:llamacpp", agent_sha256="", condition=Condition(),
        seed_pair=suite.seed_pairs[0], sandbox="process",
    )  # fmt: skip

    def work(specs: Sequence[RunSpec], bench: Bench) -> None:
        if away:
            bench.out.rename(tmp_path / "behind")
            specs[0].directory(bench.out).mkdir(parents=True)
        raise kind("session.json: no such file")

    monkeypatch.setattr(pipeline, "_execute", work)
    expected = InfrastructureError if away else kind
    with pytest.raises(expected, match=r"^a run's directory went away: session" if away else r"^session"):
        pipeline.run(spec, bench)
