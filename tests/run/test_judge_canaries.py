"""Canaries from a run's files to its verdict: planted by the request builder, answered, judged against the baseline."""

from collections.abc import Callable
from pathlib import Path

import pytest

from inferencebench.gates.integrity.recall import Canary, FactEdit
from inferencebench.load.model import RequestSample
from inferencebench.load.store import write_samples
from inferencebench.run.measure import PROBES
from inferencebench.run.record import Result
from inferencebench.run.spec import BASELINE_AGENT
from inferencebench.workload.canary import code_in, code_of_digest, planting
from inferencebench.workload.model import Message, SpeedRequest
from inferencebench.workload.records import write_records
from inferencebench.workload.requests import read_requests
from tests.run.stored import finish, only_checks, sample, stored_run, with_chunks

PAIRS = 4


@pytest.fixture(autouse=True)
def few_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    only_checks(monkeypatch, Canary(), FactEdit())


def canaries() -> list[SpeedRequest]:
    found = []
    for number in range(2 * PAIRS):
        text = planting(code_of_digest(bytes([number, 7] * 4)), 0.5)(f"document {number // 2} " * 20)
        found.append(
            SpeedRequest(
                id=f"burst/c{number:03d}", profile="burst", messages=(Message(role="user", content=text),),
                prompt_tokens=100, max_tokens=32, temperature=0.4, seed=1, offset_s=0.0, probe="canary",
                of=f"burst/c{number - 1:03d}" if number % 2 else "",
            )
        )  # fmt: skip
    return found


def judged(out: Path, agent: str, say: Callable[[int, list[str]], str]) -> Result:
    """A run whose n-th canary is answered with `say(n, codes)`."""
    run = stored_run(out, agent, finished=False)
    asked = canaries()
    codes = [code_in(request) or "" for request in asked]
    answers: list[RequestSample] = [
        sample(n, finish_reason="length").model_copy(update={"id": r.id, "text": say(n, codes)})
        for n, r in enumerate(asked)
    ]
    write_samples(run / "measure" / "launch-0" / PROBES, with_chunks(answers))
    timed = read_requests(run / "prepare" / "eval.jsonl").requests
    write_records(run / "prepare" / "eval.jsonl", [*timed, *asked])
    finish(run)
    return Result.model_validate_json((run / "result.json").read_bytes())


def test_reading_half_and_remembering_answers_are_told_from_reading(tmp_path: Path) -> None:
    honest = judged(tmp_path, BASELINE_AGENT, lambda n, codes: f"The code is {codes[n]}.")
    verdicts: dict[str, dict[str, str]] = {}
    servers: dict[str, Callable[[int, list[str]], str]] = {
        "script:fine": lambda n, codes: codes[n].lower(),
        "script:blind": lambda n, codes: "There is none.",
        "script:memory": lambda n, codes: codes[n - n % 2],
    }
    assert honest.integrity is not None
    for agent, say in servers.items():
        found = judged(tmp_path, agent, say).integrity
        assert found is not None
        verdicts[agent] = {check.name: check.verdict.value for check in found.checks}
    assert [(v["canary"], v["fact-edit"]) for v in verdicts.values()] == [
        ("pass", "pass"),
        ("fail", "pass"),
        ("review", "fail"),
    ]
