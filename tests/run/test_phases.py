"""Resumable phases and the event log."""

from pathlib import Path

import pytest

from inferencebench.errors import InfrastructureError
from inferencebench.run.events import EventLog
from inferencebench.run.phases import Phase


def _phase(root: Path, inputs: object = 1) -> Phase:
    return Phase(root, "measure", inputs, EventLog(root / "events.jsonl"))


def _finish(root: Path, text: str, inputs: object = 1) -> None:
    with _phase(root, inputs).begin() as outputs:
        out = root / "measure" / "out.txt"
        out.write_text(text)
        outputs.append(out)


def test_a_finished_phase_is_skipped_only_with_equal_inputs_and_intact_outputs(tmp_path: Path) -> None:
    assert _phase(tmp_path).stamp is None
    _finish(tmp_path, "done")
    assert _phase(tmp_path).stamp is not None
    assert _phase(tmp_path, inputs=2).stamp is None
    (tmp_path / "measure" / "out.txt").write_text("tampered")
    assert _phase(tmp_path).stamp is None


def test_a_phase_that_was_cut_off_starts_from_an_empty_folder(tmp_path: Path) -> None:
    cut_off = _phase(tmp_path).begin()
    cut_off.__enter__()
    (tmp_path / "measure" / "half.txt").write_text("half")
    assert cut_off.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is False
    assert _phase(tmp_path).stamp is None
    _finish(tmp_path, "whole")
    assert sorted(p.name for p in (tmp_path / "measure").iterdir()) == ["out.txt", "phase.json"]
    names = [(e["event"], e["phase"]) for e in EventLog(tmp_path / "events.jsonl").read()]
    assert names == [("phase_started", "measure"), ("phase_started", "measure"), ("phase_finished", "measure")]


def test_a_directory_that_goes_away_meanwhile_has_no_finished_phase(tmp_path: Path) -> None:
    """As a shared file system does: what is written meanwhile lands in a place that stands in for it."""
    root, away = tmp_path / "run", tmp_path / "away"
    root.mkdir()

    def lose() -> None:
        with _phase(root).begin() as outputs:
            root.rename(away)
            (root / "measure").mkdir(parents=True)
            outputs.append(root / "measure" / "out.txt")
            outputs[0].write_text("lost")

    with pytest.raises(InfrastructureError, match="went away"):
        lose()
    assert _phase(root).stamp is None
    assert _phase(away).stamp is None
    _finish(away, "done")
    assert _phase(away).stamp is not None
    with pytest.raises(OSError, match="No such file"), _phase(tmp_path / "nowhere").begin():
        pass


def test_a_torn_event_costs_only_itself(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.append("one")
    with log.path.open("ab") as file:
        file.write(b'{"event":"to')
    log.append("three")
    assert [e["event"] for e in log.read()] == ["one", "three"]
