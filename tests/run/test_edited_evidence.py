"""A record that was cut or edited since it was written is refused, one line and the file's name; none is cleared."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from inferencebench.errors import UserError
from inferencebench.files import write_json
from inferencebench.gates.integrity.egress import Egress
from inferencebench.gates.integrity.static.check import StaticRules
from inferencebench.gates.integrity.static.engine import ForcedEngine
from inferencebench.load.model import Samples
from inferencebench.load.store import read_samples, write_samples
from inferencebench.run import baseline as baselines
from inferencebench.run.checked import INTEGRITY_FILE
from inferencebench.run.judge import write_result
from inferencebench.run.measure import PROBES
from inferencebench.run.pipeline import rejudge
from inferencebench.run.record import Outcome
from inferencebench.run.runfiles import RunFiles
from inferencebench.run.spec import BASELINE_AGENT, RunSpec
from tests.run.stored import only_checks, stamp
from tests.run.test_missing_evidence import frozen, probed_run

LAUNCH = "measure/launch-0"
STAMPED = {
    "prepare": ("eval.jsonl", "eval_questions.jsonl"),
    "solve": ("session.json",),
    "freeze": ("manifest.json", "diff.patch"),
    "measure": (
        "measured.json", "machine.json", "comparability.json", "launch-0/requests.parquet", "launch-0/chunks.parquet",
        f"launch-0/{PROBES}/requests.parquet", f"launch-0/{PROBES}/chunks.parquet",
    ),
    "quality": ("answers.jsonl",),
    "likelihood": ("likelihood.jsonl",),
}  # fmt: skip
PARTS = [f"{phase}/{name}" for phase, names in STAMPED.items() for name in names if name != "diff.patch"]


@pytest.fixture(autouse=True)
def few_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    only_checks(monkeypatch, Egress(), StaticRules(), ForcedEngine())


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    return probed_run(tmp_path, BASELINE_AGENT)


@pytest.fixture
def run(tmp_path: Path, baseline: Path) -> Path:
    return probed_run(tmp_path, "script:fine")


def stamped(run: Path) -> Path:
    for phase, names in STAMPED.items():
        stamp(run, phase, *names)
    return run


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    write_json(path, change(json.loads(path.read_bytes())))


def refused(run: Path, what: str) -> None:
    with pytest.raises(UserError, match="missing or damaged") as caught:
        rejudge(run, None)
    assert what in str(caught.value)


def test_what_is_as_its_stamps_say_is_judged(baseline: Path, run: Path) -> None:
    assert rejudge(stamped(baseline), None).outcome is Outcome.PASSED
    assert rejudge(stamped(run), None).outcome is Outcome.PASSED
    damage(run / "freeze" / "diff.patch")
    assert rejudge(run, None).outcome is Outcome.PASSED, "judging does not read it"
    (run / "freeze" / "diff.patch").unlink()
    assert rejudge(run, None).outcome is Outcome.PASSED, "a copy may leave it out"


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_not_what_its_phase_wrote_is_refused(run: Path, part: str) -> None:
    damage(stamped(run) / part)
    refused(run, f"{run / part}: ")


@pytest.mark.parametrize("part", PARTS)
def test_so_is_one_of_the_baseline(baseline: Path, run: Path, part: str) -> None:
    damage(stamped(baseline) / part)
    refused(run, f"{baseline / part}: ")


def test_a_stamp_that_cannot_be_read_is_damage(run: Path) -> None:
    (run / "likelihood" / "phase.json").write_text('{"phase": ')
    refused(run, "likelihood/phase.json")


def test_every_answered_request_has_chunks(run: Path) -> None:
    for folder in (run / LAUNCH, run / LAUNCH / PROBES):
        whole = read_samples(folder)
        write_samples(folder, Samples(whole.requests, whole.chunks[1:]))
        refused(run, f"{folder}/chunks.parquet: missing or damaged (no chunk of ")
        write_samples(folder, whole)
    assert rejudge(run, None).outcome is Outcome.PASSED


@pytest.mark.parametrize("times", [0, 2])
def test_the_probes_are_those_of_the_plan(run: Path, times: int) -> None:
    whole = read_samples(run / LAUNCH / PROBES)
    write_samples(run / LAUNCH / PROBES, Samples(whole.requests * times, whole.chunks * times))
    refused(run, f"{PROBES}/requests.parquet: missing or damaged (not the 1 probes of the plan)")


@pytest.mark.parametrize("name", ["eval.jsonl", "eval_questions.jsonl"])
def test_the_sets_are_those_that_the_key_names(run: Path, name: str) -> None:
    path = run / "prepare" / name
    whole = path.read_bytes()
    for other in (whole * 2, whole.replace(b"Count.", b"Count!")):
        path.write_bytes(other)
        refused(run, f"{path}: missing or damaged (not the ")


def test_a_shorter_set_of_requests_is_another_one(run: Path) -> None:
    path = run / "prepare" / "eval.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    refused(run, f"{path}: missing or damaged (not the requests that ")


def test_answers_that_are_there_twice_are_not_the_answers(run: Path) -> None:
    path = run / "quality" / "answers.jsonl"
    path.write_bytes(path.read_bytes() * 2)
    refused(run, f"{path}: missing or damaged (not the answers to the questions")


@pytest.mark.parametrize(("launches", "measurements"), [(0, 0), (2, 1), (1, 2), (0, 1)])
def test_launches_and_measurements_are_as_many_and_one_at_least(run: Path, launches: int, measurements: int) -> None:
    def change(measured: dict[str, Any]) -> dict[str, Any]:
        own = {"launches": measured["launches"] * launches, "measurements": measured["measurements"] * measurements}
        return {**measured, **own}

    edit(run / "measure" / "measured.json", change)
    refused(run, f"measured.json: missing or damaged ({launches} launches, {measurements} measurements)")


def test_a_baseline_without_a_launch_is_refused_too(baseline: Path) -> None:
    key = json.loads((baseline / baselines.KEY_FILE).read_bytes())
    edit(baseline / "measure" / "measured.json", lambda measured: {**measured, "launches": [], "measurements": []})
    with pytest.raises(UserError, match=r"measured.json: missing or damaged \(0 launches"):
        baselines.load(baseline, key)


def test_a_kept_submission_is_the_one_that_was_frozen(run: Path) -> None:
    script = frozen(run, "curl https://api.openai.com/v1/chat/completions\n")
    assert rejudge(run, None).outcome is Outcome.REVIEW_PENDING
    script.write_text("#" * (script.stat().st_size - 1) + "\n")
    refused(run, f"{script}: missing or damaged (not the file that was frozen)")
    script.unlink()
    script.symlink_to("elsewhere")
    refused(run, f"{script}: missing or damaged (not the file that was frozen)")


@pytest.mark.parametrize("name", [StaticRules.name, ForcedEngine.name])
def test_what_stands_for_a_submission_that_is_gone_names_all_checks_of_it(run: Path, name: str) -> None:
    script = frozen(run, "curl https://api.openai.com/v1/chat/completions\n")
    write_result(run, rejudge(run, None))
    script.unlink()
    assert rejudge(run, None).outcome is Outcome.REVIEW_PENDING
    edit(run / INTEGRITY_FILE, lambda old: {**old, "checks": [c for c in old["checks"] if c["name"] != name]})
    refused(run, f"integrity.json: missing or damaged (nothing of {name}, and the submission is gone)")


def test_the_end_of_every_measured_server_has_to_be_seen(run: Path) -> None:
    def change(measured: dict[str, Any]) -> dict[str, Any]:
        return {**measured, "launches": measured["launches"] * 2, "measurements": measured["measurements"] * 2}

    end = '{"event": "server_stopped", "survivors": [], "names": []}\n'
    (run / "events.jsonl").write_text(end)
    edit(run / "measure" / "measured.json", change)
    for path in ((run / LAUNCH), (run / LAUNCH / PROBES)):
        write_samples(run / "measure" / "launch-1" / path.relative_to(run / LAUNCH), read_samples(path))
    files = RunFiles(run, RunSpec.model_validate_json((run / "spec.json").read_bytes()))
    assert (files.survivors(), files.names()) == (None, None)
    assert rejudge(run, None).outcome is Outcome.REVIEW_PENDING
    (run / "events.jsonl").write_text(end * 2)
    assert rejudge(run, None).outcome is Outcome.PASSED


@pytest.mark.parametrize("end", ['"survivors": null', '"opened": 3', '"opened": [[1]]', '"names": 7'])
def test_a_line_of_the_log_that_we_do_not_write_is_damage(run: Path, end: str) -> None:
    (run / "events.jsonl").write_text('{"event": "server_stopped", ' + end + "}\n")
    refused(run, "events.jsonl: missing or damaged")


@pytest.mark.parametrize("text", ["null", "[]", "1", '{"requests": 1}'])
def test_a_key_that_is_none_is_damage(baseline: Path, run: Path, text: str) -> None:
    (run / baselines.KEY_FILE).write_text(text)
    refused(run, f"{run / baselines.KEY_FILE}: missing or damaged")
    (baseline / baselines.KEY_FILE).write_text(text)
    with pytest.raises(UserError, match="is damaged"):
        baselines.load(baseline, {})


@pytest.mark.parametrize("column", ["request", "t_s", "coalesced"])
def test_a_column_that_is_null_is_damage(run: Path, column: str) -> None:
    path = run / LAUNCH / "chunks.parquet"
    table = pl.read_parquet(path)
    nulls = table.with_columns(pl.lit(None).cast(table[column].dtype).alias(column))
    pl.concat([table, nulls]).sort("text", "request").write_parquet(path)
    refused(run, LAUNCH)


def test_a_request_whose_chunks_are_left_is_damage(run: Path) -> None:
    path = run / LAUNCH / "requests.parquet"
    table = pl.read_parquet(path)
    table.head(table.height - 1).write_parquet(path)
    refused(run, LAUNCH)
