"""Recorded decisions: appended, bound to their evidence, and never stronger than a failed check."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferencebench.errors import UserError
from inferencebench.files import canonical_json
from inferencebench.gates.integrity.model import CheckResult, IntegrityResult, Verdict
from inferencebench.run import decisions
from inferencebench.run.decisions import RecordedDecision
from inferencebench.run.events import EventLog
from inferencebench.run.outcome import Evidence, decide
from inferencebench.run.record import Outcome, ServerFailure
from tests.run.records import quality


def integrity(verdict: Verdict, number: float = 1.0) -> IntegrityResult:
    check = CheckResult(
        name="margins", verdict=verdict, numbers={"share": number}, sample_size=3, threshold="t", reason="because"
    )
    return IntegrityResult(checks=(check,), verdict=verdict)


REVIEW = integrity(Verdict.REVIEW)


def decided(verdict: str) -> RecordedDecision:
    return RecordedDecision.model_validate(
        {"at": "2026-01-01T00:00:00+00:00", "by": "ann", "verdict": verdict, "reason": "read it", "evidence_sha256": ""}
    )


@pytest.mark.parametrize(
    ("evidence", "outcome"),
    [
        (Evidence(None, None, REVIEW, quality(60), decided("pass")), Outcome.PASSED),
        (Evidence(None, None, REVIEW, quality(60), decided("fail")), Outcome.INTEGRITY_FLAGGED),
        (Evidence(None, None, integrity(Verdict.PASS), quality(60), decided("fail")), Outcome.INTEGRITY_FLAGGED),
        (Evidence(None, None, integrity(Verdict.FAIL), quality(60), decided("pass")), Outcome.INTEGRITY_FLAGGED),
        (Evidence(None, None, REVIEW, quality(10), decided("pass")), Outcome.QUALITY_FAILED),
        (Evidence(None, None, REVIEW, quality(60, answered=9), decided("pass")), Outcome.QUALITY_INCOMPLETE),
        (Evidence(None, ServerFailure(reason="x"), REVIEW, quality(60), decided("fail")), Outcome.SERVER_FAILED),
        (Evidence(None, None, REVIEW, quality(60), decided("pass"), ("ttft-floor",)), Outcome.REVIEW_PENDING),
    ],
)
def test_a_decision_settles_a_review_and_clears_nothing_else(evidence: Evidence, outcome: Outcome) -> None:
    assert decide(evidence).outcome is outcome


def test_the_reason_names_who_decided() -> None:
    assert "ann: read it" in decide(Evidence(None, None, REVIEW, quality(60), decided("pass"))).reason


def test_a_decision_on_other_evidence_does_not_count(tmp_path: Path) -> None:
    evidence = decisions.evidence_sha256(REVIEW, "sub")
    decisions.record(tmp_path, "ann", "pass", "fine", evidence)
    found = decisions.current(tmp_path, REVIEW, "sub")
    assert found is not None
    assert (found.by, found.verdict) == ("ann", "pass")
    assert decisions.current(tmp_path, integrity(Verdict.REVIEW, 0.9), "sub") is None
    assert decisions.current(tmp_path, REVIEW, "another submission") is None
    assert decisions.current(tmp_path, None, "sub") is None


def test_the_newest_decision_counts_and_the_older_ones_stay(tmp_path: Path) -> None:
    evidence = decisions.evidence_sha256(REVIEW, "sub")
    decisions.record(tmp_path, "ann", "pass", "fine", evidence)
    decisions.record(tmp_path, "bob", "fail", "see line 3", evidence)
    found = decisions.current(tmp_path, REVIEW, "sub")
    assert found is not None
    assert found.by == "bob"
    assert [d.by for d in decisions.read(tmp_path)] == ["ann", "bob"]


def test_a_torn_line_loses_only_itself(tmp_path: Path) -> None:
    (tmp_path / decisions.FILE).write_text('{"at": "2026", "by": "x", "verd')
    decisions.record(tmp_path, "ann", "pass", "fine", "e")
    assert [d.by for d in decisions.read(tmp_path)] == ["ann"]
    assert (tmp_path / decisions.FILE).read_text().startswith('{"at": "2026"')


@settings(deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_is_recorded_is_one_line(tmp_path_factory: pytest.TempPathFactory, by: str, reason: str) -> None:
    folder = tmp_path_factory.mktemp("run")
    if not by.split() or not reason.split():
        with pytest.raises(UserError, match="--reason"):
            decisions.record(folder, by, "pass", reason, "e")
        assert decisions.read(folder) == []
        return
    decisions.record(folder, by, "pass", reason, "e")
    assert len(decisions.read(folder)) == 1
    assert (folder / decisions.FILE).read_bytes().count(b"\n") == 1


def test_a_decision_that_the_log_names_is_missed_when_it_is_gone(tmp_path: Path) -> None:
    evidence = decisions.evidence_sha256(REVIEW, "sub")
    (tmp_path / decisions.FILE).write_bytes(canonical_json(decided("pass")) + b"\n")
    assert decisions.current(tmp_path, REVIEW, "sub") is None, "of an older version, which named none"
    decisions.record(tmp_path, "ann", "pass", "fine", evidence)
    decisions.record(tmp_path, "bob", "fail", "see line 3", evidence)
    assert [event["event"] for event in EventLog(tmp_path / "events.jsonl").read()] == [decisions.EVENT] * 2
    whole = (tmp_path / decisions.FILE).read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in (b"".join(lines[:-1]), lines[0], whole.replace(b"bob", b"rob"), whole[:-9]):
        (tmp_path / decisions.FILE).write_bytes(cut)
        with pytest.raises(UserError, match=r"decisions.jsonl: missing or damaged \([12] of the entries that events"):
            decisions.current(tmp_path, REVIEW, "sub")
    (tmp_path / decisions.FILE).unlink()
    with pytest.raises(UserError, match="2 of the entries"):
        decisions.current(tmp_path, REVIEW, "sub")
    (tmp_path / decisions.FILE).write_bytes(whole)
    assert decisions.current(tmp_path, REVIEW, "sub") is not None


def test_a_link_in_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    (tmp_path / decisions.FILE).symlink_to(target)
    with pytest.raises(OSError):
        decisions.record(tmp_path, "ann", "pass", "fine", "e")
    assert not target.exists()
