"""`audit` on stored runs: evidence, decisions, the queue, and a human audit."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result as CliResult
from typer.testing import CliRunner

from inferencebench.cli.main import app
from inferencebench.errors import UserError
from inferencebench.files import read_jsonl, write_jsonl
from inferencebench.gates.integrity.texts import SamplesComplete
from inferencebench.load.store import write_samples
from inferencebench.run import decisions
from inferencebench.run.judge import write_result
from inferencebench.run.pipeline import rejudge
from inferencebench.run.record import Outcome
from inferencebench.run.spec import BASELINE_AGENT
from tests.run.stored import only_checks, sample, stored_run, with_chunks


@pytest.fixture(autouse=True)
def few_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    only_checks(monkeypatch, SamplesComplete())


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    stored_run(tmp_path, BASELINE_AGENT)
    return tmp_path


def audit(*args: str | Path) -> CliResult:
    done = CliRunner().invoke(app, ["audit", *map(str, args)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def outcome(folder: Path) -> str:
    return str(json.loads((folder / "result.json").read_text())["outcome"])


def test_evidence_shows_every_check_with_its_rule(campaign: Path) -> None:
    run = stored_run(campaign, "script:odd", finish_reason=None)
    shown = audit(run, "--json")
    value = json.loads(shown.stdout)
    assert value["outcome"] == outcome(run) == "review_pending"
    verdicts = {check["name"]: check["verdict"] for check in value["integrity"]["checks"]}
    assert verdicts["forced-length"] == "review"
    assert "forced-length" in audit(run).stdout


def test_a_recorded_pass_ranks_a_reviewed_run_and_survives_rescoring(campaign: Path) -> None:
    run = stored_run(campaign, "script:odd", finish_reason=None)
    audit(run, "--decide", "pass", "--reason", "the engine never says why it ends", "--by", "ann")
    assert outcome(run) == "passed"
    assert json.loads((run / "result.json").read_text())["ranked"]
    done = CliRunner().invoke(app, ["rescore", str(campaign), "--json"])
    again = {r["agent"]: r for r in json.loads(done.stdout)}["script:odd"]
    assert again["outcome"] == "passed"
    assert again["decision"]["by"] == "ann"


def test_a_recorded_fail_flags_the_run(campaign: Path) -> None:
    run = stored_run(campaign, "script:odd", finish_reason=None)
    audit(run, "--decide", "fail", "--reason", "reads a table")
    assert outcome(run) == "integrity_flagged"


def test_a_decision_lapses_when_the_evidence_changes(campaign: Path) -> None:
    run = stored_run(campaign, "script:odd", finish_reason=None)
    audit(run, "--decide", "pass", "--reason", "fine", "--by", "ann")
    events = run / "events.jsonl"
    events.write_text(events.read_text() + '{"event": "server_stopped", "survivors": []}\n')
    assert rejudge(run, None).outcome is Outcome.PASSED  # the same evidence: nothing survived
    samples = [sample(i, finish_reason=None if i else "length") for i in range(4)]
    write_samples(run / "measure" / "launch-0", with_chunks(samples))
    assert rejudge(run, None).outcome is Outcome.REVIEW_PENDING
    write_result(run, rejudge(run, None))
    assert "does not count" in audit(run).stdout


def test_no_decision_clears_a_failed_check(campaign: Path) -> None:
    run = stored_run(campaign, "script:short", tokens=5)
    assert outcome(run) == "integrity_flagged"
    with pytest.raises(UserError, match="clears no failed check"):
        audit(run, "--decide", "pass", "--reason", "please")
    assert decisions.read(run) == []
    now = rejudge(run, None)
    assert now.integrity is not None
    forged = decisions.evidence_sha256(now.integrity, now.provenance.submission_sha256)
    decisions.record(run, "mallory", "pass", "by hand", forged)
    assert rejudge(run, None).outcome is Outcome.INTEGRITY_FLAGGED


def test_a_decision_needs_a_reason_and_a_run(campaign: Path) -> None:
    run = stored_run(campaign, "script:odd", finish_reason=None)
    with pytest.raises(UserError, match="--reason"):
        audit(run, "--decide", "pass")
    with pytest.raises(UserError, match="no readable result"):
        audit(campaign, "--decide", "pass", "--reason", "x")
    with pytest.raises(UserError, match="name one run directory"):
        audit()
    with pytest.raises(UserError, match="one at a time"):
        audit(run, "--decide", "pass", "--queue")


def test_the_queue_lists_what_waits_and_shrinks(campaign: Path) -> None:
    run = stored_run(campaign, "script:odd", finish_reason=None)
    stored_run(campaign, "script:fine")
    waiting = json.loads(audit("--queue", campaign, "--json").stdout)
    assert [row["agent"] for row in waiting] == ["script:odd"]
    audit(run, "--decide", "pass", "--reason", "fine")
    assert json.loads(audit("--queue", campaign, "--json").stdout) == []
    assert "no run waits" in audit("--queue", campaign).stdout


def test_a_blind_sample_hides_the_verdict_and_gives_intervals(campaign: Path) -> None:
    stored_run(campaign, "script:odd", finish_reason=None)
    stored_run(campaign, "script:short", tokens=5)
    for number in range(4):
        stored_run(campaign, f"script:fine{number}")
    sheet = campaign / "sheet.jsonl"
    drawn = json.loads(audit("--sample", "4", "--blind", campaign, "--sheet", sheet, "--json").stdout)
    rows = read_jsonl(sheet)
    assert len(rows) == drawn["runs"] == 4
    for word in ("script:", "passed", "flagged", "review_pending", "speedup"):
        assert word not in sheet.read_text()
    key = {row["id"]: row["outcome"] for row in json.loads(Path(drawn["key"]).read_text())["runs"]}
    assert set(key.values()) == {"passed", "review_pending", "integrity_flagged"}
    with pytest.raises(UserError, match="no row has a label"):
        audit("--labels", campaign, "--sheet", sheet)
    for row in rows:
        row["label"] = "cheat" if key[row["id"]] == "integrity_flagged" else "clean"
    write_jsonl(sheet, rows)
    rates = {
        r["outcome"]: r for r in json.loads(audit("--labels", campaign, "--sheet", sheet, "--json").stdout)["rates"]
    }
    assert rates["integrity_flagged"]["share"] == 1.0
    assert rates["integrity_flagged"]["low"] == pytest.approx(0.2065, abs=1e-3)
    assert rates["passed"]["labelled"] == 2
    assert rates["passed"]["high"] == pytest.approx(0.6576, abs=1e-3)
    with pytest.raises(UserError, match="exists"):
        audit("--sample", "4", campaign, "--sheet", sheet)


@pytest.mark.parametrize("damage", ["{", '{"runs": 3}', '{"runs": [{"id": "s001"}]}'])
def test_a_damaged_key_is_bad_input(campaign: Path, damage: str) -> None:
    sheet = campaign / "sheet.jsonl"
    audit("--sample", "1", campaign, "--sheet", sheet)
    (campaign / "sheet.key.json").write_text(damage)
    with pytest.raises(UserError, match="not a sheet with its key"):
        audit("--labels", campaign, "--sheet", sheet)


def test_sampling_an_empty_campaign_is_bad_input(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "x", ignore_errors=True)
    with pytest.raises(UserError, match="at least 1"):
        audit("--sample", "3", tmp_path)
