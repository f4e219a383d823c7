"""What a finished quality phase is tied to: an edit of our files, or a new engine, does not begin it again."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from inferencebench import __version__
from inferencebench.files import sha256_json
from inferencebench.gates.quality import Answer
from inferencebench.run import bench as bench_module
from inferencebench.run import stages
from inferencebench.run.bench import REFERENCE_PACKAGES, Bench
from inferencebench.run.record import Manifest, Measured
from inferencebench.run.spec import Condition, RunSpec
from inferencebench.suites.load import load

MANIFEST = Manifest(files=(), left_out=(), sha256="s" * 64, bytes=0)
MEASURED = Measured(measurement_version=1, launches=(), measurements=())
QUESTIONS = SimpleNamespace(sha256="q" * 64, questions=())
ANSWER = Answer(question_id="q", text="x", error=None, parsed="x", correct=True)


class Asking:
    """Runs the quality phase of one run, anew each time, and counts how often questions were asked."""

    def __init__(self, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.out, self.asked = out, 0
        suite = load("laptop-mini")
        self.spec = RunSpec.create(
            suite, scenario="decode", agent="script:x", agent_sha256="a" * 64, condition=Condition(),
            seed_pair=suite.seed_pairs[0], sandbox="process",
        )  # fmt: skip
        self.spec.directory(out).mkdir(parents=True)
        monkeypatch.setattr(stages, "_asked", self._ask)

    def _ask(self, *_: object) -> list[Answer]:
        self.asked += 1
        return [ANSWER]

    def answers(self) -> list[Answer]:
        """What the phase gives, in a process that was just started."""
        bench = Bench(self.spec.suite, self.out)
        same = SimpleNamespace(sha256="c" * 64)
        bench.__dict__.update(checkpoint=same, hardware=same)
        none: Any = None
        run = stages.RunContext(self.spec, bench, none, none, none, none)
        prepared = cast(stages.Prepared, SimpleNamespace(eval_questions=QUESTIONS))
        return stages.quality(run, prepared, MANIFEST, MEASURED)


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asking:
    return Asking(tmp_path, monkeypatch)


def test_an_edit_of_our_code_asks_nothing_again(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asking.answers() == [ANSWER]
    log = asking.spec.directory(asking.out) / "events.jsonl"
    said = log.read_bytes()
    monkeypatch.setattr(bench_module, "_code_sha256", lambda: "e" * 64)
    monkeypatch.setattr(bench_module, "_engine_versions", lambda: {"engine:new": "1.0"})
    assert asking.answers() == [ANSWER]
    assert (asking.asked, log.read_bytes()) == (1, said)


def test_other_packages_of_the_reference_ask_again(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    asking.answers()
    monkeypatch.setattr(bench_module, "_version", lambda package: "99")
    asking.answers()
    assert asking.asked == 2


def test_answers_are_shared_by_the_key_that_older_records_have(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "_version", lambda package: "1.0")
    asking.answers()
    inputs = {
        "submission": sha256_json(MANIFEST),
        "questions": "q" * 64,
        "checkpoint": "c" * 64,
        "hardware": "c" * 64,
        "software": dict.fromkeys(REFERENCE_PACKAGES, "1.0") | {"inferencebench": __version__},
        "sandbox": "process",
        "measurement_version": stages.MEASUREMENT_VERSION,
        "repeat": 0,
        "failed": False,
    }
    [shared] = (asking.out / "laptop-mini" / ".quality").iterdir()
    assert shared.name == f"{sha256_json(inputs)}.jsonl"
    assert [json.loads(line) for line in shared.read_text().splitlines()] == [ANSWER.model_dump(mode="json")]
