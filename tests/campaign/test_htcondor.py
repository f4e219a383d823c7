"""The HTCondor executor: its submit file by HTCondor's own parser, its states, and its commands by stand-ins.

Here `condor_submit`, `condor_q` and `condor_rm` are scripts; a real pool runs in tests/cluster/test_htcondor_pool.py.
"""

import json
import re
import sys
from pathlib import Path

import pytest

from inferencebench.campaign.executors.contract import Life, Order, Status
from inferencebench.campaign.executors.htcondor import HTCondorExecutor, quoted, status
from inferencebench.campaign.model import Placement
from inferencebench.errors import InfrastructureError, UserError

GOOD = {"requirements": 'Machine == "a"', "memory": "4GB", "cpus": 2, "extra": ["nice_user = true"]}


def executor(folder: Path, **options: object) -> HTCondorExecutor:
    return HTCondorExecutor(Placement.model_validate({"kind": "htcondor", "options": options}), folder)


def order(folder: Path, name: str, devices: int = 1) -> Order:
    return Order(name, ("true",), devices, 90.5, folder / f"{name}.log", {})


def test_htcondors_own_parser_makes_the_jobs_we_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDOR_CONFIG", "/dev/null")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    htcondor = pytest.importorskip("htcondor", reason="needs HTCondor's library: pip install 'htcondor<25'")
    orders = tmp_path / 'it\'s "x" y.json'
    (tmp_path / "out").mkdir()
    text = executor(tmp_path, **GOOD).submit_file(orders, 3, 1, 91)
    ads = list(htcondor.Submit(text).jobs(clusterid=7))
    assert len(ads) == 3
    for index, ad in enumerate(ads):
        assert (ad["ClusterId"], ad["ProcId"], ad["Cmd"]) == (7, index, sys.executable)
        assert (ad["RequestGPUs"], ad["RequestCpus"], ad["AllowedExecuteDuration"]) == (1, 2, 91 + 120)
        assert ad["InferenceBenchOrders"] == str(orders)
        assert {"NumShadowStarts", "Machine"} <= {*re.findall(r"\w+", str(ad["Requirements"]))}
        assert "sk-secret" not in str(ad)
        assert htcondor.Submit({"arguments": str(ad["Arguments"])})
    assert str(ads[2]["Arguments"]).endswith(" 2")


def test_arguments_are_quoted_as_the_manual_says() -> None:
    assert quoted(["a", "b c", "it's", 'say "x"']) == "\"'a' 'b c' 'it''s' 'say \"\"x\"\"'\""


STATES = [
    ({"JobStatus": 1}, Status(Life.QUEUED)),
    ({"JobStatus": 2, "RemoteHost": "slot1@n"}, Status(Life.RUNNING, where="slot1@n")),
    ({"JobStatus": 7}, Status(Life.RUNNING)),
    ({"JobStatus": 5, "HoldReason": "evicted"}, Status(Life.ENDED, None, "HELD (evicted)")),
    ({"JobStatus": 3, "RemoteHost": "slot1@n"}, Status(Life.RUNNING, where="slot1@n")),
    ({"JobStatus": 2, "NumShadowStarts": 3}, Status(Life.RUNNING, restarts=2)),
    ({"JobStatus": 1, "NumShadowStarts": 1}, Status(Life.ENDED, None, "EVICTED (evicted, or its node was lost)")),
    ({"JobStatus": 4, "ExitCode": 2}, Status(Life.ENDED, 2, "exit code 2")),
    ({"JobStatus": "?"}, Status(Life.QUEUED)),
    (None, Status(Life.LOST)),
]


@pytest.mark.parametrize(("ad", "means"), STATES)
def test_states(tmp_path: Path, ad: dict[str, object] | None, means: Status) -> None:
    assert status(tmp_path / "o.json", 0, ad) == means


def test_what_left_the_queue_is_known_by_its_exit_file_and_a_hold_beats_it(tmp_path: Path) -> None:
    (tmp_path / "o.0.exit").write_text('{"task": "t", "exit_code": 2}')
    assert status(tmp_path / "o.json", 0, None) == Status(Life.ENDED, 2, "exit code 2")
    assert status(tmp_path / "o.json", 0, {"JobStatus": 5, "HoldReason": "x"}).exit_code is None


def commands(folder: Path, monkeypatch: pytest.MonkeyPatch, queue: str) -> Path:
    """Stand-ins on the PATH that note their arguments."""
    bin_ = folder / "bin"
    bin_.mkdir()
    (folder / "queue.json").write_text(queue)
    answers = {"condor_submit": "echo '41.0 - 41.1'", "condor_q": f"cat {folder}/queue.json", "condor_rm": "true"}
    for name, answer in answers.items():
        (bin_ / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {folder}/calls\n{answer}\n')
        (bin_ / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:/usr/bin:/bin")
    return folder / "calls"


def test_place_poll_cancel_and_held_jobs_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ads = [{"ClusterId": 41, "ProcId": 0, "JobStatus": 2}, {"ClusterId": 41, "ProcId": 1, "JobStatus": 5}]
    calls = commands(tmp_path, monkeypatch, json.dumps(ads))
    it = executor(tmp_path / "condor")
    assert it.probe().ok
    handles = it.place([order(tmp_path, "a"), order(tmp_path, "b")])
    assert [handle.partition(":")[0] for handle in handles.values()] == ["41.0", "41.1"]
    found = it.poll(list(handles.values()))
    assert [s.life for s in found.values()] == [Life.RUNNING, Life.ENDED]
    assert "condor_rm 41.1" in calls.read_text()
    it.cancel([handles["a"]])
    assert "condor_rm 41.0" in calls.read_text()
    (tmp_path / "queue.json").write_text("not json")
    with pytest.raises(OSError, match="not a list"):
        it.poll(list(handles.values()))


def test_jobs_that_nobody_wrote_down_are_found_by_their_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(tmp_path, monkeypatch, "[]")
    it = executor(tmp_path / "condor")
    handles = it.place([order(tmp_path, "a"), order(tmp_path, "b")])
    path = handles["a"].partition(":")[2]
    rows = [(41, 0, 2, path), (41, 1, 4, path), (42, 0, 1, f"{tmp_path}/another/{Path(path).name}"), (43, 7, 1, path)]
    names = ("ClusterId", "ProcId", "JobStatus", "InferenceBenchOrders")
    (tmp_path / "queue.json").write_text(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))
    assert it.lost({"a", "b"}) == {"a": handles["a"]}, "b has ended, and the others are not of this campaign"
    assert it.lost({"b"}) == {}


def test_what_was_taken_before_a_refusal_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(tmp_path, monkeypatch, "[]")
    second = "#!/bin/sh\ntest ! -e {0} || {{ echo 'ERROR: too many' >&2; exit 1; }}\ntouch {0}; echo '41.0 - 41.0'\n"
    (tmp_path / "bin" / "condor_submit").write_text(second.format(tmp_path / "once"))
    handles = executor(tmp_path / "condor").place([order(tmp_path, "a", 1), order(tmp_path, "b", 2)])
    assert list(handles) == ["a"]
    assert {path.suffix for path in (tmp_path / "condor").iterdir()} == {".json", ".sub"}
    assert len(list((tmp_path / "condor").iterdir())) == 2, "of the refused group nothing is left"


def test_refusals_and_bad_options_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(tmp_path, monkeypatch, "[]")
    (tmp_path / "bin" / "condor_submit").write_text("#!/bin/sh\necho 'ERROR: no schedd' >&2; exit 1\n")
    with pytest.raises(InfrastructureError, match="no schedd"):
        executor(tmp_path / "condor").place([order(tmp_path, "a")])
    with pytest.raises(UserError, match="queue: not an option"):
        executor(tmp_path, queue="x")
