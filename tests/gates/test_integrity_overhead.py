"""What the gate costs: computed at paper scale, and measured from samples."""

import pytest
from tests.gates.test_integrity_streams import stream

from inferencebench.gates.integrity.overhead import computed, measured
from inferencebench.suites.load import load, names


@pytest.mark.parametrize("name", [name for name in names() if not name.startswith("laptop")])
def test_at_paper_scale_at_most_80_requests_and_15_percent_of_the_time(name: str) -> None:
    for row in computed(load(name)):
        assert 0 < row.probes <= 80, row
        assert 0 < row.time_share <= 0.15, row


def test_a_suite_without_stated_peaks_is_computed_by_tokens() -> None:
    rows = {row.what: row for row in computed(load("laptop"))}
    assert rows["decode"].probes == 2
    assert 0 < rows["decode"].time_share < 1


def test_repeats_and_probes_are_measured_against_all_other_requests() -> None:
    timed = [stream(n)[0] for n in range(4)]
    short = stream(9, tokens=4)[0]
    seconds = [(s.end_s or 0) - (s.sent_s or 0) for s in (*timed, short)]
    found = measured("run", timed, [short], {timed[3].id}, 6.5)
    assert (found.requests, found.probes, found.after_s) == (3, 2, 6.5)
    assert found.time_share == pytest.approx(sum(seconds[3:]) / sum(seconds[:3]))
