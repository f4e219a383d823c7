"""Running the zoo: each fixture through the whole pipeline, then what caught it beside what should have."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Self

from inferencebench.errors import UserError
from inferencebench.gates.integrity.model import Verdict
from inferencebench.redteam.model import Fixture, Kind, load, load_all
from inferencebench.run import pipeline
from inferencebench.run.bench import Bench
from inferencebench.run.record import Outcome, Result
from inferencebench.run.spec import RunSpec
from inferencebench.sandbox.removal import remove_tree
from inferencebench.suites.model import Record

ZooVerdict = Literal["pass", "review", "fail", "stopped"]
LOGS = "measure/launch-*/server.err"
SAID = "zoo "
"""How a fixture's own line in its log begins; see `say` in `common/front.py`."""
ALLOWED_REVIEWS = 1
"""Of honest controls."""


class Row(Record):
    """What became of one fixture."""

    name: str
    kind: Kind
    verdict: ZooVerdict
    """`fail`: a gate refused it; `stopped`: the sandbox prevented it; `review`: a person has to look."""
    caught_by: tuple[str, ...]
    """Checks that failed, or for a `review` that asked for it; `quality`, `server` and `stopped` are no checks."""
    expected: tuple[str, ...]
    reviewed_by: tuple[str, ...]
    """Checks that asked for a review, whatever the verdict."""
    as_expected: bool
    """A cheat is failed or stopped, by one of the expected checks; an honest control passes, or is only reviewed."""
    outcome: Outcome
    scenario: str
    raw_speedup: float | None
    """What the cheat would have gained."""
    seconds: float
    reason: str
    checks: dict[str, Verdict]
    """Every check's verdict."""


class Rate(Record):
    """How often something went wrong, and how often it may in truth."""

    count: int
    total: int
    upper95: float | None
    """One-sided 95 % bound (Clopper-Pearson): none of 60 still allows 4.9 %. None without a fixture."""


class ZooReport(Record):
    """`audit --zoo --json`."""

    suite: str
    reduced: bool
    fixtures: tuple[Row, ...]
    honest_failed: Rate
    """Honest controls that a gate refused."""
    cheats_missed: Rate
    """Cheats that neither failed nor were stopped."""

    @classmethod
    def of(cls, suite: str, rows: Sequence[Row], *, reduced: bool) -> Self:
        """The report on these rows."""
        honest = [row.verdict == "fail" for row in rows if row.kind == "honest"]
        missed = [row.verdict in ("pass", "review") for row in rows if row.kind == "cheat"]
        return cls(
            suite=suite, reduced=reduced, fixtures=tuple(rows), honest_failed=_rate(honest), cheats_missed=_rate(missed)
        )

    @property
    def problems(self) -> list[str]:
        """What is not as it should be, one line each."""
        found = [_problem(row) for row in self.fixtures if not row.as_expected]
        reviews = [row.name for row in self.fixtures if row.kind == "honest" and row.verdict == "review"]
        if len(reviews) > ALLOWED_REVIEWS:
            found.append(f"{len(reviews)} honest controls need a review: {', '.join(reviews)}")
        return found


def _rate(found: Sequence[bool]) -> Rate:
    return Rate(count=sum(found), total=len(found), upper95=upper95(sum(found), len(found)) if found else None)


def upper95(count: int, total: int) -> float:
    """The largest probability under which `count` or fewer of `total` are seen with 5 % probability or more."""
    low, high = count / total, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        seen = sum(math.comb(total, k) * middle**k * (1 - middle) ** (total - k) for k in range(count + 1))
        low, high = (middle, high) if seen >= 0.05 else (low, middle)
    return high


def _problem(row: Row) -> str:
    by = ", ".join(row.caught_by) or "nothing"
    if row.kind == "honest":
        return f"{row.name} is honest and got {row.verdict} by {by}: {row.reason}"
    return f"{row.name} got {row.verdict} by {by}; expected {' or '.join(row.expected)}"


def choose(only: Sequence[str], kind: str, *, reduced: bool) -> list[Fixture]:
    """The fixtures to run on hardware of this kind. Raises UserError for an unknown name, or one that cannot run."""
    if not only:
        return [f for f in load_all() if kind in f.accelerators and (f.reduced or not reduced)]
    chosen = [load(name) for name in only]
    for fixture in chosen:
        if kind not in fixture.accelerators:
            raise UserError(f"zoo: {fixture.name} needs {' or '.join(fixture.accelerators)}, the suite is for {kind}")
    return chosen


def run_zoo(
    fixtures: Sequence[Fixture],
    bench: Bench,
    spec_of: Callable[[Fixture], RunSpec],
    on_row: Callable[[Row], None],
    *,
    reduced: bool,
) -> ZooReport:
    """Run (or find finished) every fixture, one after the other, over shared baselines."""
    if not fixtures:
        raise UserError("zoo: no fixture to run")
    rows = []
    for fixture in fixtures:
        spec = spec_of(fixture)
        directory = spec.directory(bench.out)
        _forget_another(directory, spec)
        rows.append(row(fixture, pipeline.run(spec, bench), said(directory)))
        on_row(rows[-1])
    return ZooReport.of(bench.suite.name, rows, reduced=reduced)


def _forget_another(directory: Path, spec: RunSpec) -> None:
    """Remove the run of an older version of the fixture: it is a test's, and made again."""
    try:
        same = not RunSpec.model_validate_json((directory / "spec.json").read_bytes()).differences(spec)
    except (OSError, ValueError):
        same = not (directory / "spec.json").exists()
    if not same:
        remove_tree(directory)


def said(directory: Path) -> list[str]:
    """What a fixture wrote about its own attempts, `stopped: …` or `succeeded: …`."""
    lines = [line for path in sorted(directory.glob(LOGS)) for line in path.read_text("utf-8", "replace").split("\n")]
    return [line.removeprefix(SAID) for line in lines if line.startswith(SAID)]


def row(fixture: Fixture, result: Result, attempts: Sequence[str]) -> Row:
    """What the gates made of a fixture's run."""
    checks = result.integrity.checks if result.integrity else ()
    failed = [check.name for check in checks if check.verdict is Verdict.FAIL]
    reviewed = tuple(check.name for check in checks if check.verdict is Verdict.REVIEW)
    if result.outcome is Outcome.SERVER_FAILED:
        failed.append("server")
    if result.quality and result.quality.passed is False:
        failed.append("quality")
    stopped = _stopped(attempts)
    caught = (*failed, *(["stopped"] if stopped else []))
    verdict: ZooVerdict = "fail" if failed else "stopped" if stopped else "review" if reviewed else "pass"
    caught = reviewed if verdict == "review" else caught
    return Row(
        name=fixture.name,
        kind=fixture.kind,
        verdict=verdict,
        caught_by=caught,
        expected=fixture.expected,
        reviewed_by=reviewed,
        as_expected=_as_expected(fixture, verdict, caught),
        outcome=result.outcome,
        scenario=result.scenario,
        raw_speedup=result.raw_speedup,
        seconds=result.cost.total_s,
        reason=result.reason,
        checks={check.name: check.verdict for check in checks},
    )


def _stopped(attempts: Sequence[str]) -> bool:
    """Whether the fixture tried, and nothing it tried succeeded."""
    return any(a.startswith("stopped") for a in attempts) and not any(a.startswith("succeeded") for a in attempts)


def _as_expected(fixture: Fixture, verdict: ZooVerdict, caught: Sequence[str]) -> bool:
    if fixture.kind == "honest":
        return verdict in ("pass", "review")
    return verdict in ("fail", "stopped") and bool(set(caught) & set(fixture.expected))


def to_json(report: ZooReport) -> dict[str, object]:
    """The report for machines."""
    value: dict[str, object] = json.loads(report.model_dump_json())
    return value
