"""The published examples as recorded samples on the paper's suite, judged from their files like any stored run.

Two are cheats that the quality gate lets through (122 of 500 right, where 128 x 0.95 = 121.6 are needed): 6.4 ns a
token, and a first token after less than 3 ms at 8k tokens. The third is none: four configurations crash in a row.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from inferencebench.files import write_json
from inferencebench.gates.integrity.model import Evidence
from inferencebench.gates.quality import Answer
from inferencebench.load.metrics import by_profile, measurement
from inferencebench.load.store import write_samples
from inferencebench.run.record import Evaluation, Measured, ServerFailure
from inferencebench.run.spec import BASELINE_AGENT
from inferencebench.suites.model import Metric
from inferencebench.workload.records import write_records
from tests.gates.test_integrity_checks import fast_first, measured, nanoseconds
from tests.run.stored import finish, only_checks, stored_run, with_chunks

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


SERVED_S = (2.3e-5, 4e-3)
"""An honest server on an H100: seconds a prompt token, seconds an output token."""
QUESTIONS, REFERENCE_RIGHT, CHEAT_RIGHT = 500, 128, 122


def answers(right: int) -> list[Answer]:
    """Answers to the gate's questions, the first of which are right."""
    return [
        Answer(question_id=f"q{n}", text="A", error=None, parsed="A" if n < right else "B", correct=n < right)
        for n in range(QUESTIONS)
    ]


def recorded(out: Path, agent: str, seen: Evidence, right: int) -> Path:
    """A run directory with these samples and so many right answers, judged."""
    run = stored_run(out, agent, suite_name=SUITE, scenario=seen.scenario.name, answers=answers(right), finished=False)
    samples = with_chunks(seen.requests)
    write_samples(run / "measure" / "launch-0", samples)
    measured_json = Measured.model_validate_json((run / "measure" / "measured.json").read_bytes())
    again = measured_json.model_copy(update={"measurements": (measurement(by_profile(samples), 0.98),)})
    write_json(run / "measure" / "measured.json", again)
    write_records(run / "prepare" / "eval.jsonl", seen.planned)
    return finish(run)


EXAMPLES = {
    "6.4 ns per token": ("decode", nanoseconds, "tpot-floor"),
    "sub-3-ms first token at 8k tokens": ("prefill", fast_first, "ttft-floor"),
}


@pytest.mark.parametrize(("scenario", "cheat", "check"), EXAMPLES.values(), ids=EXAMPLES)
def test_what_passes_the_quality_gate_and_cannot_be_is_flagged(
    tmp_path: Path, scenario: str, cheat: Callable[[Evidence], Evidence], check: str
) -> None:
    honest = measured(SUITE, scenario, *SERVED_S)
    recorded(tmp_path, BASELINE_AGENT, honest, REFERENCE_RIGHT)
    run = recorded(tmp_path, "script:cheat", cheat(honest), CHEAT_RIGHT)
    result = json.loads((run / "result.json").read_text())
    assert result["outcome"] == "integrity_flagged"
    assert check in result["reason"]
    assert (result["quality"]["correct"], result["quality"]["passed"]) == (CHEAT_RIGHT, True)
    assert result["raw_speedup"] > 20, "what it would have scored"
    assert result["speedup"] == 1.0
    fair = recorded(tmp_path, "script:fair", honest, CHEAT_RIGHT)
    verdicts = {c["name"]: c["verdict"] for c in json.loads((fair / "result.json").read_text())["integrity"]["checks"]}
    assert "fail" not in verdicts.values()


def test_four_crashing_configurations_are_a_failed_server_and_score_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_checks(monkeypatch)
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
