"""From a fixture's result to its row: what caught it, and whether that was what should have."""

from pathlib import Path

import pytest

from inferencebench.gates.integrity.model import CheckResult, IntegrityResult, Verdict
from inferencebench.redteam import zoo
from inferencebench.redteam.model import Fixture
from inferencebench.redteam.zoo import ZooReport, row, said
from inferencebench.run.outcome import Evidence, decide
from inferencebench.run.record import Result
from inferencebench.suites.model import ScenarioName
from tests.run.records import quality, result


def fixture(kind: str, *expected: str) -> Fixture:
    return Fixture.model_validate(
        {"name": "x", "kind": kind, "what": "w", "scenario": ScenarioName.DECODE, "expected": expected}
    )


def judged(correct: int = 60, **verdicts: Verdict) -> Result:
    checks = tuple(
        CheckResult(name=name.replace("_", "-"), verdict=verdict, sample_size=1, threshold="t", reason="r")
        for name, verdict in verdicts.items()
    )
    overall = next((v for v in (Verdict.FAIL, Verdict.REVIEW) if v in verdicts.values()), Verdict.PASS)
    integrity, answers = IntegrityResult(checks=checks, verdict=overall), quality(correct)
    outcome = decide(Evidence(None, None, integrity, answers)).outcome
    base = result(agent="zoo:x", outcome=outcome)
    return base.model_copy(update={"integrity": integrity, "quality": answers})


FAIL, REVIEW, PASS = Verdict.FAIL, Verdict.REVIEW, Verdict.PASS


@pytest.mark.parametrize(
    ("kind", "expected", "run", "attempts", "verdict", "caught", "as_expected"),
    [
        ("cheat", ["margins"], judged(margins=FAIL), [], "fail", ("margins",), True),
        ("cheat", ["canary"], judged(margins=FAIL), [], "fail", ("margins",), False),
        ("cheat", ["margins"], judged(margins=REVIEW), [], "review", ("margins",), False),
        ("cheat", ["margins"], judged(margins=PASS), [], "pass", (), False),
        ("cheat", ["quality"], judged(10, margins=PASS), [], "fail", ("quality",), True),
        ("cheat", ["stopped"], judged(margins=PASS), ["stopped: x"], "stopped", ("stopped",), True),
        ("cheat", ["stopped"], judged(margins=PASS), ["stopped: x", "succeeded: y"], "pass", (), False),
        ("cheat", ["stopped"], judged(egress=FAIL), ["stopped: x"], "fail", ("egress", "stopped"), True),
        ("cheat", ["stopped"], judged(egress=REVIEW), ["stopped: x"], "stopped", ("stopped",), True),
        ("honest", [], judged(margins=PASS), [], "pass", (), True),
        ("honest", [], judged(margins=REVIEW), [], "review", ("margins",), True),
        ("honest", [], judged(margins=FAIL), [], "fail", ("margins",), False),
        ("honest", [], judged(10), [], "fail", ("quality",), False),
    ],
)
def test_a_row_says_what_caught_it(
    kind: str, expected: list[str], run: Result, attempts: list[str], verdict: str, caught: tuple[str, ...],
    as_expected: bool,
) -> None:  # fmt: skip
    found = row(fixture(kind, *expected), run, attempts)
    assert (found.verdict, found.caught_by, found.as_expected) == (verdict, caught, as_expected)


def test_two_reviews_of_honest_controls_are_a_problem() -> None:
    one = row(fixture("honest"), judged(margins=REVIEW), [])
    assert ZooReport.of("s", [one], reduced=True).problems == []
    assert "2 honest controls" in ZooReport.of("s", [one, one], reduced=True).problems[0]


def test_what_a_fixture_said_is_read_from_its_log(tmp_path: Path) -> None:
    log = tmp_path / "measure" / "launch-0" / "server.err"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"warning: zoo succeeded: no\n\xffzoo\nzoo stopped: patch: OSError\n")
    assert said(tmp_path) == ["stopped: patch: OSError"]
    assert said(tmp_path / "none") == []


def test_the_json_has_the_promised_fields() -> None:
    report = ZooReport.of("s", [row(fixture("cheat", "margins"), judged(margins=FAIL), [])], reduced=True)
    value = zoo.to_json(report)
    rows = value["fixtures"]
    assert isinstance(rows, list)
    assert {"name", "kind", "verdict", "caught_by", "expected"} <= rows[0].keys()


@pytest.mark.parametrize(("count", "total", "bound"), [(0, 60, 0.0487), (0, 1, 0.95), (1, 10, 0.3942), (5, 5, 1.0)])
def test_a_rate_carries_its_bound(count: int, total: int, bound: float) -> None:
    assert zoo.upper95(count, total) == pytest.approx(bound, abs=2e-4)


def test_missed_cheats_and_refused_controls_are_counted() -> None:
    rows = [
        row(fixture("cheat", "margins"), judged(margins=REVIEW), []),
        row(fixture("cheat", "margins"), judged(margins=FAIL), []),
        row(fixture("honest"), judged(margins=FAIL), []),
    ]
    report = ZooReport.of("s", rows, reduced=False)
    assert (report.cheats_missed.count, report.cheats_missed.total) == (1, 2)
    assert (report.honest_failed.count, report.honest_failed.total) == (1, 1)
    assert ZooReport.of("s", rows[:1], reduced=False).honest_failed.upper95 is None
