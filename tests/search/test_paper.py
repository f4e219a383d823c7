"""The published protocol: the best single reading wins, whatever it is worth."""

from pathlib import Path

import pytest

from inferencebench.search import paper, simulate
from inferencebench.search.journal import Journal
from inferencebench.search.samplers import make
from inferencebench.search.trials import Status
from inferencebench.suites.model import ScenarioName


class Dies(simulate.SimulatedMachine):
    """Killed after some trials."""

    left = 5

    def run(self, *args: object) -> object:  # type: ignore[override]
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().run(*args)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["random", "tpe-paper"])
def test_best_reading_wins_and_a_killed_search_goes_on(name: str, tmp_path: Path) -> None:
    space, path = simulate.paper_space(), tmp_path / "journal.jsonl"
    first = Dies(ScenarioName.DECODE, 3)
    with pytest.raises(KeyboardInterrupt):
        paper.PaperSearch("vllm", make(name, space, 3), first, 3600, Journal(path, "x")).run()
    journal = Journal(path, "x")
    assert len(journal.entries) == 5
    again = simulate.SimulatedMachine(ScenarioName.DECODE, 4)
    outcome = paper.PaperSearch("vllm", make(name, space, 3), again, 3600, journal).run()
    ended = [e for e in journal.entries if e.reading and e.reading.status is Status.OK and e.at_s <= 3600]
    best = min(ended, key=lambda e: e.reading.loss if e.reading and e.reading.loss else 9)
    assert outcome.candidate == best.candidate
    assert not outcome.confirmed
    assert outcome.trials == len(journal.entries) > 5
    assert len({e.candidate.key for e in journal.entries[:10]}) == 10, (
        "what was asked before the kill is not asked again"
    )
    assert {} not in [dict(e.candidate.configuration) for e in journal.entries], "it never tries the default"


def test_where_nothing_works_the_default_stands(tmp_path: Path) -> None:
    machine = simulate.SimulatedMachine(ScenarioName.DECODE, 0)
    journal = Journal(tmp_path / "journal.jsonl", "x")
    outcome = paper.PaperSearch("vllm", make("random", simulate.paper_space(), 0), machine, 0, journal).run()
    assert (outcome.candidate.configuration, outcome.loss, outcome.trials) == ({}, None, 0)
