"""The ledger on real directories: what it counts, what it gives back, and what a hostile workspace can do to it."""

import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferencebench.errors import UserError
from inferencebench.run.changes import Snapshot, variables
from inferencebench.run.freeze import freeze
from inferencebench.run.ledger import Ledger, noise_floor
from inferencebench.run.record import Evaluation
from inferencebench.suites.model import Metric

LIMIT = 1 << 20
VLLM = 'exec "$IB_PYTHON" -m vllm.entrypoints.openai.api_server --model "$MODEL_PATH" {}\n'


class Session:
    """A workspace and its ledger."""

    def __init__(self, root: Path, limit: int = LIMIT) -> None:
        self.workspace, self.root = root / "workspace", root
        (self.workspace / "submission").mkdir(parents=True)
        self.ledger = Ledger(Metric.TPOT, root / "kept", limit)
        self.count = 0

    def evaluate(self, files: dict[str, str], value: float | None, *, quick: bool = False, passed: bool = True) -> None:
        self.count += 1
        submission = self.root / f"frozen-{self.count}"
        submission.mkdir()
        for name, text in files.items():
            (submission / name).write_text(text)
        sha256 = freeze(submission, self.root / f"hashed-{self.count}", LIMIT * 100).sha256
        record = Evaluation(
            id=self.count, at_s=1.0, seconds=1.0, quick=quick, submission_sha256=sha256, ok=value is not None,
            metric=Metric.TPOT, value=value, accuracy=0.5, quality_passed=passed, valid=True,
            error=None if value is not None else "boom\x1b[31m\nlog",
        )  # fmt: skip
        self.ledger.keep(record, submission)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def test_single_changes_are_told_from_several_and_the_best_is_marked(session: Session) -> None:
    session.evaluate({"start_server.sh": VLLM.format("")}, 2.0)
    session.evaluate({"start_server.sh": VLLM.format("--max-num-seqs 8")}, 1.0)
    session.evaluate({"start_server.sh": "# a remark\n" + VLLM.format("--max-num-seqs 9 --enforce-eager")}, 1.5)
    session.evaluate({"start_server.sh": VLLM.format("--max-num-seqs 8")}, 0.5, quick=True)
    session.evaluate({"start_server.sh": VLLM.format("--max-num-seqs 8"), "a.py": "x"}, 0.1, passed=False)
    session.evaluate({"start_server.sh": "exit 1"}, None)
    entries = session.ledger.view().entries
    assert [e.best for e in entries] == [False, True, False, False, False, False]
    assert [e.single_variable for e in entries] == [None, True, False, False, True, False]
    assert entries[1].since_previous
    assert entries[1].since_previous.variables == ("max-num-seqs default -> 8",)
    assert entries[3].since_best
    assert (entries[3].since_best.against, entries[3].since_best.count) == (2, 0)
    assert [e.restorable for e in entries] == [True, True, True, True, False, False]
    assert "\x1b" not in (entries[5].evaluation.error or "")
    assert "+exec" in session.ledger.diff("1", "previous")
    assert "max-num-seqs 9" in session.ledger.diff("3", "best")
    assert "Removed: a.py" in session.ledger.diff("6", "previous")


def test_restore_puts_back_the_bytes_and_keeps_what_was_there(session: Session) -> None:
    session.evaluate({"start_server.sh": "one"}, 1.0)
    session.evaluate({"start_server.sh": "two"}, 2.0)
    (session.workspace / "submission" / "start_server.sh").write_text("unfinished")
    for _ in range(2):
        assert session.ledger.restore("BEST", session.workspace).id == 1
        assert (session.workspace / "submission" / "start_server.sh").read_text() == "one"
    session.ledger.restore("2", session.workspace)
    assert (session.workspace / "submission" / "start_server.sh").read_text() == "two"
    assert (session.workspace / "submission.replaced" / "start_server.sh").read_text() == "one"


@pytest.mark.parametrize("trap", ["link", "replaced-link", "file", "missing", "fifo"])
def test_a_hostile_workspace_leads_nowhere(session: Session, tmp_path: Path, trap: str) -> None:
    session.evaluate({"start_server.sh": "one"}, 1.0)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "start_server.sh").write_text("precious")
    place = session.workspace / "submission"
    place.rmdir()
    if trap == "link":
        place.symlink_to(precious)
    elif trap == "replaced-link":
        place.symlink_to(precious)
        (session.workspace / "submission.replaced").symlink_to(precious)
    elif trap == "file":
        place.write_text("a file")
    elif trap == "fifo":
        os.mkfifo(place)
    session.ledger.restore("BEST", session.workspace)
    assert (place / "start_server.sh").read_text() == "one"
    assert not place.is_symlink()
    assert sorted(p.name for p in precious.iterdir()) == ["start_server.sh"]
    assert (precious / "start_server.sh").read_text() == "precious"


def test_snapshots_are_bounded_and_the_best_is_kept(tmp_path: Path) -> None:
    session = Session(tmp_path, limit=1000)
    session.evaluate({"start_server.sh": "best", "blob": "x" * 500}, 0.1)
    for number in range(6):
        session.evaluate({"start_server.sh": f"{number}", "blob": f"{number}" * 400}, 1.0 + number)
    entries = session.ledger.view().entries
    assert entries[0].restorable
    assert [e.restorable for e in entries[1:]] == [False] * 5 + [True]
    kept = sum(p.stat().st_size for p in (tmp_path / "kept").rglob("*") if p.is_file())
    assert kept < 1000
    with pytest.raises(UserError, match="not kept"):
        session.ledger.restore("3", session.workspace)
    session.evaluate({"start_server.sh": "huge", "blob": "y" * 5000}, 0.01)
    with pytest.raises(UserError, match="not kept"):
        session.ledger.restore("BEST", session.workspace)


@pytest.mark.parametrize(
    ("which", "message"),
    [("BEST", "no best yet"), ("2", "1 to 1"), ("../1", "1 to 1"), ("1", "not valid"), ("²", "1 to")],
)
def test_what_cannot_be_restored_is_refused_in_one_line(session: Session, which: str, message: str) -> None:
    session.evaluate({"start_server.sh": "one"}, None)
    with pytest.raises(UserError, match=message):
        session.ledger.restore(which, session.workspace)


def test_noise_comes_from_repeats_and_the_baselines_launches(session: Session) -> None:
    assert noise_floor([], []).relative is None
    session.evaluate({"start_server.sh": "one"}, 1.0)
    session.evaluate({"start_server.sh": "one"}, 1.1)
    session.evaluate({"start_server.sh": "two"}, 9.0)
    found = session.ledger.view().noise
    sd = abs(math.log(1.1)) / math.sqrt(2)
    assert found.degrees_of_freedom == 1
    assert found.relative == pytest.approx(math.exp(12.71 * sd * math.sqrt(2)) - 1)
    steady = noise_floor([], [1.0, 1.01, 0.99, 1.0])
    assert steady.relative is not None
    assert 0.01 < steady.relative < 0.06


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_two_texts_can_be_compared(a: str, b: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        shots = []
        for name, text in (("a", a), ("b", b)):
            source = Path(folder) / name
            source.mkdir()
            (source / "start_server.sh").write_bytes(text.encode(errors="surrogatepass"))
            shots.append(
                Snapshot(Path(folder) / f"{name}-frozen", freeze(source, Path(folder) / f"{name}-frozen", LIMIT))
            )
        assert variables(shots[0], shots[0]) == []
        assert all(isinstance(v, str) for v in variables(shots[0], shots[1]))
