"""Cells, aggregates and ranks, against figures worked out by hand."""

import json
import math
from pathlib import Path

import pytest

from inferencebench.analysis.collect import collect
from inferencebench.analysis.leaderboard import board
from inferencebench.analysis.statistics import geometric_mean
from inferencebench.errors import UserError
from inferencebench.run.record import Outcome, Result
from tests.run.records import result

PAIRS = ((21, 1337), (248, 428), (999, 777))


def _runs(agent: str, scenario: str, speedups: tuple[float, ...], **more: object) -> list[Result]:
    return [
        result(agent=agent, scenario=scenario, speedup=s, raw_speedup=s, pair=pair, **more)
        for s, pair in zip(speedups, PAIRS, strict=False)
    ]


def test_cell_mean_sem_and_aggregate() -> None:
    found = board(_runs("a", "decode", (2.0, 3.0, 4.0)) + _runs("a", "prefill", (1.0, 1.0, 2.5)))
    cells = {c.scenario.value: c for c in found.cells}
    assert cells["decode"].speedup_mean == pytest.approx(3.0)
    assert cells["decode"].speedup_sem == pytest.approx(1 / math.sqrt(3))
    assert found.agents[0].aggregate == pytest.approx(math.sqrt(3.0 * 1.5))
    left_out = [math.sqrt(3.5 * 1.75), math.sqrt(3.0 * 1.75), math.sqrt(2.5 * 1.0)]
    middle = sum(left_out) / 3
    assert found.agents[0].aggregate_sem == pytest.approx(math.sqrt(2 / 3 * sum((a - middle) ** 2 for a in left_out)))


def test_jackknife_where_cells_have_different_seed_pairs() -> None:
    """decode has pairs 1, 2 and 3, prefill 1 and 2: without pair 3, prefill keeps its mean."""
    found = board(_runs("a", "decode", (1.0, 4.0, 10.0)) + _runs("a", "prefill", (2.0, 6.0)))
    assert found.agents[0].aggregate == pytest.approx(math.sqrt(5.0 * 4.0))
    left_out = [math.sqrt(7.0 * 6.0), math.sqrt(5.5 * 2.0), math.sqrt(2.5 * 4.0)]
    # 6.480741, 3.316625, 3.162278; mean 4.319881; sum of squares 7.015883; times 2/3, square root.
    assert found.agents[0].aggregate_sem == pytest.approx(2.162696, rel=1e-6)
    assert left_out == pytest.approx([6.480741, 3.316625, 3.162278])


def test_jackknife_needs_two_pairs_in_every_cell() -> None:
    assert board(_runs("a", "decode", (2.0,))).agents[0].aggregate_sem is None
    assert board(_runs("a", "decode", (2.0, 3.0)) + _runs("a", "prefill", (2.0,))).agents[0].aggregate_sem is None


def test_failed_runs_count_one_and_unscored_ones_do_not_count() -> None:
    runs = [
        result(agent="a", speedup=5.0, raw_speedup=5.0, pair=PAIRS[0]),
        result(agent="a", speedup=1.0, raw_speedup=9.0, pair=PAIRS[1], outcome=Outcome.QUALITY_FAILED),
        result(agent="a", speedup=1.0, raw_speedup=7.0, pair=PAIRS[2], outcome=Outcome.REVIEW_PENDING, ranked=False),
    ]
    cell = board(runs).cells[0]
    assert (cell.n, cell.speedup_mean, cell.pass_rate) == (2, 3.0, 0.5)
    assert cell.raw_speedup_mean == pytest.approx(7.0)
    assert cell.speedup_given_pass_mean == 5.0
    assert cell.outcomes == {"passed": 1, "quality_failed": 1, "review_pending": 1}


def test_regressions_are_kept_only_when_asked() -> None:
    runs = [result(agent="a", speedup=1.0, raw_speedup=0.77, pair=PAIRS[0])]
    assert board(runs).cells[0].speedup_mean == 1.0
    assert board(runs, "raw").cells[0].speedup_mean == 0.77


def test_ranks_are_for_rows_that_cover_the_board_and_are_verified() -> None:
    runs = (
        _runs("fast", "decode", (4.0,))
        + _runs("fast", "prefill", (4.0,))
        + _runs("slow", "decode", (2.0,))
        + _runs("slow", "prefill", (2.0,))
        + _runs("half", "decode", (90.0,))
        + _runs("unverified", "decode", (50.0,), ranked=False)
        + _runs("unverified", "prefill", (50.0,), ranked=False)
    )
    assert [(a.agent, a.rank) for a in board(runs).agents] == [
        ("fast", 1),
        ("slow", 2),
        ("half", None),
        ("unverified", None),
    ]


def test_repeats_do_not_enter_the_cell() -> None:
    runs = [result(agent="a", speedup=2.0, pair=PAIRS[0]), result(agent="a", speedup=8.0, pair=PAIRS[0], repeat=1)]
    assert board(runs).cells[0].speedup_mean == 2.0


def test_geometric_mean_is_scale_free() -> None:
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert geometric_mean([0.0, 8.0]) == 0.0


def test_unreadable_and_unfinished_runs_are_said_and_the_rest_counts(tmp_path: Path) -> None:
    good, torn, half = (tmp_path / name for name in ("good", "torn", "half"))
    for folder in (good, torn, half):
        folder.mkdir()
        (folder / "spec.json").write_text("{}")
    (good / "result.json").write_text(result(agent="a").model_dump_json())
    (torn / "result.json").write_text(json.dumps({"schema_version": 1})[:-3])
    found = collect([tmp_path])
    assert [path.name for path, _ in found.results] == ["good"]
    assert sorted(line.split(":")[0].split("/")[-2 if "result" in line else -1] for line in found.skipped) == [
        "half",
        "torn",
    ]
    with pytest.raises(UserError, match="no such directory"):
        collect([tmp_path / "nowhere"])
