"""Inspect logs and ATIF documents of finished runs, read back by the packages whose formats they are."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inferencebench.analysis.collect import collect
from inferencebench.analysis.leaderboard import board
from inferencebench.analysis.runs import load
from inferencebench.cli.main import app
from inferencebench.export.atif import write_documents
from inferencebench.export.inspect import document, write_logs
from tests.site.campaigns import AGENTS, SECRET, campaign

ROWS = (AGENTS[0], AGENTS[5], AGENTS[13])
"""The baseline, an agent, and one whose every text is hostile."""


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("records")
    campaign(out, ROWS)
    return out


def test_inspect_reads_what_was_written(records: Path, tmp_path: Path) -> None:
    log = pytest.importorskip("inspect_ai.log", reason="needs inspect_ai: make test-export")
    found = collect([records])
    paths = write_logs(found.results, tmp_path)
    assert len(paths) == 3
    rows = {row.agent: row for row in board([result for _, result in found.results]).agents}
    for path in paths:
        read = log.read_eval_log(str(path))
        assert read.status == "success"
        row = rows[read.eval.metadata["agent"].replace("\ufffd", "\u202e")]
        assert len(read.samples) == read.results.total_samples == 12
        scores = {score.name: score.metrics for score in read.results.scores}
        assert scores["aggregate"]["aggregate"].value == pytest.approx(row.aggregate)
        by_run = {sample.metadata["run"]: sample for sample in read.samples}
        for run in load([records]).runs:
            if run.result.agent == row.agent:
                assert by_run[run.id].scores["speedup"].value == run.result.speedup
    sonnet = log.read_eval_log(str(next(p for p in paths if "sonnet" in p.name))).samples[0]
    assert [m.role for m in sonnet.messages[:4]] == ["user", "assistant", "assistant", "tool"]
    assert sonnet.messages[2].tool_calls[0].arguments["command"] == "./evaluate --quick"
    kinds = [(event.event, getattr(event, "source", None)) for event in sonnet.events]
    assert kinds.count(("info", "evaluation by the harness")) == 6
    assert ("tool", None) in kinds


def test_the_viewer_takes_the_logs(records: Path, tmp_path: Path) -> None:
    pytest.importorskip("inspect_ai.log", reason="needs inspect_ai: make test-export")
    logs = tmp_path / "logs"
    write_logs(collect([records]).results, logs)
    inspect = Path(sys.executable).parent / "inspect"
    bundle = tmp_path / "view"
    subprocess.run([inspect, "view", "bundle", "--log-dir", logs, "--output-dir", bundle], check=True)
    listing = json.loads((bundle / "logs" / "listing.json").read_bytes())
    assert len(listing) == 3
    assert all(entry["status"] == "success" for entry in listing.values())


def test_no_key_leaves_in_a_log(records: Path) -> None:
    text = json.dumps(document(load([records]).runs))
    assert SECRET not in text
    assert "[redacted]" in text
    assert "\u202e" not in text


def test_a_missing_package_is_one_line(records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    ran = CliRunner().invoke(app, ["export", "inspect", str(records), "-o", str(tmp_path)])
    assert getattr(ran.exception, "exit_code", None) == 3
    assert "pip install" in str(ran.exception)


def test_atif_validates_and_holds_no_key(records: Path, tmp_path: Path) -> None:
    atif = pytest.importorskip("atif", reason="needs atif: pip install atif")
    written = write_documents(collect([records]).results, tmp_path)
    assert len(written.paths) == 36
    assert written.skipped == []
    identities = set()
    for path in written.paths:
        text = path.read_text()
        assert SECRET not in text
        document = atif.Trajectory.model_validate_json(text)
        identities.add(document.session_id)
    assert len(identities) == 36


def test_a_run_without_a_session_is_said(records: Path, tmp_path: Path) -> None:
    directory, result = collect([records]).results[0]
    (directory / "solve" / "session.json").rename(directory / "solve" / "away")
    try:
        written = write_documents([(directory, result)], tmp_path)
    finally:
        (directory / "solve" / "away").rename(directory / "solve" / "session.json")
    assert written.paths == []
    assert len(written.skipped) == 1
