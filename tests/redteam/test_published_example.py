"""The published trace example that is no cheat: an agent whose four configurations crash, one after the other."""

import json
from pathlib import Path

import pytest

from inferencebench.gates.integrity import registry
from inferencebench.gates.integrity.processes import Survivors
from inferencebench.gates.integrity.tokens import ForcedLength
from inferencebench.run.record import Evaluation, ServerFailure
from inferencebench.run.spec import BASELINE_AGENT
from inferencebench.suites.model import Metric
from tests.run.stored import stored_run

SUITE = "h100-mistral-7b"
CRASHES = (
    "it ended with exit code 1 before it was ready: CUDA out of memory while capturing graphs",
    "it ended with exit code 1 before it was ready: quantization fp8 needs another checkpoint",
    "it ended with exit code 1 before it was ready: the draft model has another vocabulary",
    "it ended with exit code 1 before it was ready: max-num-batched-tokens is below max-model-len",
)


def crashed(number: int) -> Evaluation:
    """A mid-run evaluation whose server did not come up."""
    return Evaluation(
        id=number,
        at_s=900.0 * number,
        seconds=200.0,
        quick=False,
        submission_sha256=f"{number}" * 64,
        ok=False,
        error=CRASHES[number],
        metric=Metric.BALANCED,
    )


@pytest.fixture(autouse=True)
def few_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only checks whose evidence the baseline's small record holds."""
    monkeypatch.setattr(registry, "BUILTIN", (ForcedLength(), Survivors()))


def test_four_crashing_configurations_are_a_failed_server_and_score_one(tmp_path: Path) -> None:
    stored_run(tmp_path, BASELINE_AGENT, suite_name=SUITE)
    failure = ServerFailure(reason=CRASHES[-1], log_tail="ValueError", exit_code=1)
    evaluations = tuple(crashed(number) for number in range(4))
    run = stored_run(tmp_path, "script:crashes", suite_name=SUITE, failure=failure, evaluations=evaluations)
    result = json.loads((run / "result.json").read_text())
    assert result["outcome"] == "server_failed"
    assert result["reason"] == CRASHES[-1]
    assert (result["speedup"], result["raw_speedup"]) == (1.0, None)
    assert result["integrity"] is None
    assert result["quality"] is None
    assert result["best_seen"] is None, "nothing that crashed was found, so nothing was lost"
