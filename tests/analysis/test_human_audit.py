"""Drawing a human audit: stratified, without repetition, the same for one seed."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferencebench.analysis import human_audit
from inferencebench.errors import UserError
from inferencebench.run.record import Outcome, Result
from tests.run.records import result

OUTCOMES = (Outcome.PASSED, Outcome.REVIEW_PENDING, Outcome.INTEGRITY_FLAGGED, Outcome.QUALITY_FAILED)
COUNTS = st.lists(st.integers(0, 12), min_size=len(OUTCOMES), max_size=len(OUTCOMES)).filter(any)


def runs(counts: list[int]) -> list[tuple[Path, Result]]:
    return [
        (Path(f"{outcome}/{number}"), result(agent="script:x", outcome=outcome))
        for outcome, count in zip(OUTCOMES, counts, strict=True)
        for number in range(count)
    ]


@given(COUNTS, st.integers(1, 60), st.integers(0, 3))
def test_a_sample_is_stratified_and_repeats_nothing(counts: list[int], size: int, seed: int) -> None:
    found = runs(counts)
    drawn = human_audit.draw(found, size, seed)
    assert drawn == human_audit.draw(list(reversed(found)), size, seed)
    assert len(drawn) == len({path for path, _ in drawn}) == min(size, len(found))
    per = Counter(r.outcome for _, r in drawn)
    present = [o for o, count in zip(OUTCOMES, counts, strict=True) if count]
    if size >= len(present):
        assert set(per) == set(present)
    for outcome, count in zip(OUTCOMES, counts, strict=True):
        share = len(drawn) * count / len(found)
        assert per[outcome] <= max(1, share + len(present)), "no outcome is drawn far beyond its share"


def test_two_seeds_draw_differently() -> None:
    found = runs([40, 0, 0, 0])
    assert human_audit.draw(found, 10, 1) != human_audit.draw(found, 10, 2)


def test_a_sheet_that_is_none_is_bad_input(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.jsonl"
    with pytest.raises(UserError, match="not a sheet"):
        human_audit.rates(sheet, [])
    sheet.write_text('{"id": "s001", "label": "maybe"}\n')
    with pytest.raises(UserError, match="clean, cheat or unsure"):
        human_audit.rates(sheet, [])
