"""The campaign's log as a driver reads it: each row once, from the start when it is another file; and its lock."""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from inferencebench.campaign import journal as journal_module
from inferencebench.campaign.driver import Driver
from inferencebench.campaign.executors.contract import Order
from inferencebench.campaign.history import History
from inferencebench.campaign.journal import Journal, State, alone
from inferencebench.campaign.model import Matrix
from inferencebench.campaign.plan import plan
from inferencebench.errors import UserError
from inferencebench.suites.model import ScenarioName, SeedPair
from tests.campaign.test_cancel import Requeues
from tests.campaign.test_driver import Scripted, begun_log, finish, quick, the_plan
from tests.campaign.test_plan import campaign

__all__ = ["quick"]


@pytest.fixture
def folded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The lines that journals took in."""
    lines: list[bytes] = []
    fold = Journal._fold

    def noted(self: Journal, line: bytes) -> bool:
        if line:
            lines.append(line)
        return fold(self, line)

    monkeypatch.setattr(Journal, "_fold", noted)
    return lines


def test_each_row_is_read_once(tmp_path: Path, folded: list[bytes]) -> None:
    journal = begun_log(tmp_path)
    for number in range(3):
        journal.append("placed", f"t{number}", handle="h")
        assert len(journal.histories()) == number + 1
        assert not journal.cancelled()
        assert journal.rests() == {}
    journal.append("cancelled", "")
    assert journal.cancelled()
    assert len(folded) == 4


def test_ends_are_noted_in_linear_time(tmp_path: Path, folded: list[bytes]) -> None:
    matrix = Matrix(
        suites=("laptop",), agents=("script:a",), scenarios=(ScenarioName.DECODE,),
        seed_pairs=(SeedPair(dev=1, eval=2),), repeats=40,
    )  # fmt: skip
    todo = plan(campaign(matrix=matrix))

    class Wide(Scripted):
        def free(self) -> int:
            return 64

        def place(self, orders: Sequence[Order]) -> dict[str, str]:
            return {order.task: f"{order.task}#1" for order in orders}

    finish(tmp_path, todo.tasks[0])
    found = Driver(todo, tmp_path, Wide(tmp_path, todo, {}), lambda snapshot: None).run()
    assert set(found.states.values()) == {State.DONE}
    assert len(folded) == 1 + 2 * 40, "a start, and of each run its placement and its end"


def test_a_log_that_is_another_file_or_shorter_is_read_from_its_start(tmp_path: Path) -> None:
    journal = begun_log(tmp_path)
    log = journal.folder / "tasks.jsonl"
    for task in ("a", "b"):
        journal.append("placed", task, handle="h")
    histories = journal.histories()
    assert set(histories) == {"a", "b"}
    first = log.read_bytes().split(b"\n")[0] + b"\n"
    log.write_bytes(first)
    assert set(journal.histories()) == {"a"}
    other = log.with_name("other")
    other.write_bytes(first.replace(b'"a"', b'"c"') * 3)
    other.replace(log)
    assert set(journal.histories()) == {"c"}
    assert journal.histories()["c"].placed == 3
    assert journal.histories() is histories
    log.unlink()
    for read in (journal.histories, journal.rests, journal.cancelled, journal.started_at):
        with pytest.raises(FileNotFoundError):
            read()


def test_a_line_is_taken_in_when_it_is_whole(tmp_path: Path) -> None:
    journal = begun_log(tmp_path)
    log = journal.folder / "tasks.jsonl"
    with log.open("ab", buffering=0) as file:
        file.write(b'{"event": "placed", "task": "a", "han')
        assert journal.histories() == {}
        file.write(b'dle": "h"}')
        assert journal.histories()["a"].placed == 1
        file.write(b'\n{"event": "placed", "task": "torn')
        assert set(journal.histories()) == {"a"}
    journal.append("placed", "b", handle="h")
    assert set(journal.histories()) == {"a", "b"}
    assert journal.histories()["a"].placed == 1


def test_a_withdrawn_placement_that_begins_after_all_is_an_attempt() -> None:
    history = History()
    for row in ({"event": "placed", "handle": "h"}, {"event": "withdrawn"}, {"event": "began", "at": 1.0}):
        history.apply(row)
    assert not history.withdrawn
    history.apply({"event": "ended", "infrastructure": True, "reason": "lost"})
    assert (history.placed, history.failures) == (1, ["lost"])


def test_who_only_looks_keeps_no_driver_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = begun_log(tmp_path).folder / ".lock"
    looks = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(looks, fcntl.LOCK_SH)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        fcntl.flock(looks, fcntl.LOCK_UN)

    monkeypatch.setattr("inferencebench.campaign.journal.time.sleep", sleep)
    with alone(tmp_path):
        assert slept
        monkeypatch.setattr(journal_module, "LOOKED_S", 0.0)
        with pytest.raises(UserError, match="another process is working here"), alone(tmp_path):
            pass
    os.close(looks)


def test_the_attempt_that_a_restart_used_up_is_not_charged_twice(tmp_path: Path) -> None:
    todo = the_plan(retry={"attempts": 2, "backoff_s": 0.0})
    Driver(todo, tmp_path, Requeues(tmp_path, todo, {}), lambda snapshot: None).run()
    history = Journal(tmp_path).histories()[todo.tasks[0].id]
    assert history.failures == ["scripted started it again"] * 2
    assert history.hopeless == "2 infrastructure failures, the last: scripted started it again"
