"""What is missing of a finished run's records never lets it pass: judging it again is an error that names the file."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inferencebench.cli.main import app
from inferencebench.errors import UserError
from inferencebench.files import write_json
from inferencebench.gates.integrity.static.check import StaticRules
from inferencebench.load.model import Samples
from inferencebench.load.store import write_samples
from inferencebench.run import baseline as baselines
from inferencebench.run.freeze import freeze
from inferencebench.run.judge import judge, write_result
from inferencebench.run.measure import PROBES
from inferencebench.run.pipeline import rejudge
from inferencebench.run.record import Outcome
from inferencebench.run.runfiles import RunFiles
from inferencebench.run.spec import BASELINE_AGENT, RunSpec
from inferencebench.workload.records import write_records
from inferencebench.workload.requests import read_requests
from tests.run.stored import finish, only_checks, sample, stored_run, with_chunks

SHORT = "burst/p000"
EVIDENCE = (
    "measure/launch-0",
    "measure/launch-0/requests.parquet",
    "measure/launch-0/chunks.parquet",
    f"measure/launch-0/{PROBES}",
    "likelihood/likelihood.jsonl",
)
"""Of a run and of its baseline."""
OWN = (*EVIDENCE, "quality/answers.jsonl", "events.jsonl", "freeze/manifest.json")


@pytest.fixture(autouse=True)
def few_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    only_checks(monkeypatch, StaticRules())


def probed_run(out: Path, agent: str, finish_reason: str = "length") -> Path:
    """A passed run with a short probe."""
    run = stored_run(out, agent, finish_reason=finish_reason, finished=False)
    timed = read_requests(run / "prepare" / "eval.jsonl").requests
    write_records(run / "prepare" / "eval.jsonl", [*timed, timed[0].model_copy(update={"id": SHORT, "probe": "short"})])
    answer = sample(0, finish_reason=finish_reason).model_copy(update={"id": SHORT})
    write_samples(run / "measure" / "launch-0" / PROBES, with_chunks([answer]))
    return finish(run)


def frozen(run: Path, text: str) -> Path:
    """The launcher of a run whose submission is that file alone."""
    source = run / "solve" / "submission"
    source.mkdir()
    (source / "start_server.sh").write_text(text)
    write_json(run / "freeze" / "manifest.json", freeze(source, run / "freeze" / "submission", 1000))
    return run / "freeze" / "submission" / "start_server.sh"


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    return probed_run(tmp_path, BASELINE_AGENT)


@pytest.fixture
def run(tmp_path: Path, baseline: Path) -> Path:
    run = probed_run(tmp_path, "script:fine")
    assert rejudge(run, None).outcome is Outcome.PASSED
    return run


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("part", OWN)
def test_a_missing_part_is_an_error_and_changes_nothing(tmp_path: Path, run: Path, part: str) -> None:
    remove(run / part)
    before = (run / "result.json").read_bytes(), (run / "integrity" / "integrity.json").read_bytes()
    done = CliRunner().invoke(app, ["rescore", str(tmp_path), "--write", "--json"])
    assert done.exit_code == 0, done.exception
    assert [row["agent"] for row in json.loads(done.stdout)] == [BASELINE_AGENT]
    [line] = [line for line in done.stderr.splitlines() if line.startswith(f"{run}: skipped, ")]
    assert f"{run / part}" in line
    assert before == ((run / "result.json").read_bytes(), (run / "integrity" / "integrity.json").read_bytes())


@pytest.mark.parametrize("part", EVIDENCE)
def test_a_missing_part_of_the_baseline_is_one_too(run: Path, baseline: Path, part: str) -> None:
    remove(baseline / part)
    with pytest.raises(UserError, match="missing or damaged") as caught:
        rejudge(run, None)
    assert str(baseline / part) in str(caught.value)


@pytest.mark.parametrize("part", ["likelihood/likelihood.jsonl", "quality/answers.jsonl", "events.jsonl"])
def test_an_empty_part_is_a_missing_one(run: Path, part: str) -> None:
    (run / part).write_text('{"torn')
    with pytest.raises(UserError, match=f"{part}: missing or damaged"):
        rejudge(run, None)


def test_samples_without_a_request_are_missing(run: Path) -> None:
    write_samples(run / "measure" / "launch-0", Samples([], []))
    with pytest.raises(UserError, match=r"launch-0/requests.parquet: missing or damaged \(no request in it\)"):
        rejudge(run, None)


def test_measured_values_have_to_follow_from_the_samples(run: Path) -> None:
    measured = json.loads((run / "measure" / "measured.json").read_text())
    measured["measurements"][0]["tpot_s"] *= 0.999
    (run / "measure" / "measured.json").write_text(json.dumps(measured))
    with pytest.raises(UserError, match=r"launch-0/requests.parquet: .*other values than follow from these samples"):
        rejudge(run, None)


def test_every_launch_has_to_be_there(run: Path) -> None:
    measured = json.loads((run / "measure" / "measured.json").read_text())
    for part in ("launches", "measurements"):
        measured[part] *= 2
    (run / "measure" / "measured.json").write_text(json.dumps(measured))
    with pytest.raises(UserError, match=r"launch-1/requests.parquet: missing or damaged"):
        rejudge(run, None)


def test_a_damaged_baseline_is_refused_before_anything_is_measured_against_it(baseline: Path) -> None:
    remove(baseline / "measure" / "launch-0")
    with pytest.raises(UserError, match=r"launch-0/requests.parquet: missing or damaged"):
        baselines.load(baseline, {})


def test_a_log_without_a_servers_end_asks_for_a_review(run: Path) -> None:
    (run / "events.jsonl").write_text('{"event": "phase_started"}\n')
    assert rejudge(run, None).outcome is Outcome.REVIEW_PENDING


def test_what_was_said_of_a_submission_stands_when_its_files_are_gone(run: Path) -> None:
    script = frozen(run, "curl https://api.openai.com/v1/chat/completions\n")
    found = rejudge(run, None)
    assert found.outcome is Outcome.REVIEW_PENDING
    write_result(run, found)
    script.unlink()
    again = rejudge(run, None)
    assert (again.outcome, again.integrity) == (found.outcome, found.integrity)
    (run / "integrity" / "integrity.json").unlink()
    with pytest.raises(UserError, match=r"integrity.json: missing or damaged"):
        rejudge(run, None)


def test_nothing_of_a_run_without_a_measurement_is_missed(run: Path) -> None:
    measured = json.loads((run / "measure" / "measured.json").read_text())
    measured["failure"] = {"reason": "it did not come up"}
    (run / "measure" / "measured.json").write_text(json.dumps(measured))
    for part in (p for p in OWN if (run / p).exists() and p != "quality/answers.jsonl"):
        remove(run / part)
    files = RunFiles(run, RunSpec.model_validate_json((run / "spec.json").read_bytes()))
    assert judge(files, None).outcome is Outcome.SERVER_FAILED
