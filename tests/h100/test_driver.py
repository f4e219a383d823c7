"""The driver of the GPU comparison: what it takes along, what it does again, and the page made from records."""

import importlib.util
import json
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def script(name: str) -> ModuleType:
    """A program of the scripts folder, as a module."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("IB_H100_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(SCRIPTS)
    script("h100_plan")
    found = script("h100")
    (tmp_path / "home").mkdir()
    return found


def test_code_is_copied_once_and_named_by_its_content(driver: ModuleType, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    for name in ("src", "scripts", "examples"):
        (repo / name).mkdir(parents=True)
        (repo / name / "a.py").write_text(name)
    driver._copy_code(repo)
    driver._copy_code(repo)
    first = driver.code()
    assert [p.name for p in driver.BASE.glob("code-*")] == [first.name]
    assert (first / "examples" / "a.py").read_text() == "examples"
    assert driver._settled({"state": "failed", "code": driver._version()})
    assert not driver._settled({"state": "failed", "code": "another"})
    assert driver._settled({"state": "done", "code": "another"})


def test_records_leave_out_workspaces_and_keep_submissions(driver: ModuleType, tmp_path: Path) -> None:
    run = driver.RUNS / "suite" / "decode" / "agent" / "default" / "21-1337"
    for name in ("result.json", "solve/workspace/big", "freeze/submission/start_server.sh", "prepare/dev.jsonl"):
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (driver.RUNS / ".salt").write_bytes(b"s")
    (run / "server.err").write_bytes(b"x" * (driver.LOG_BYTES + 1))
    driver.pack(tmp_path / "out")
    with tarfile.open(tmp_path / "out" / "records.tar.xz") as tar:
        names = {Path(name).name for name in tar.getnames()}
    assert names == {".salt", "result.json", "start_server.sh"}


def test_steps_are_named_once_and_ordered_by_worth(driver: ModuleType) -> None:
    names = [step.name for step in driver.steps()]
    assert len(set(names)) == len(names)
    assert names.index("baseline-2") < names.index("default") < names.index("default-again") < names.index("zoo")


def test_a_later_session_takes_what_is_left(driver: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["h100_plan"], "ONLY", "baseline-1,search-D")
    assert [step.name for step in driver.steps()] == ["baseline-1", "search-D"]


def test_every_card_has_work_and_nothing_runs_beside_what_needs_the_machine(
    driver: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (driver.LOGS, driver.BASE / "code-1-abc"):
        folder.mkdir(parents=True)
    line = ("sh", "-c", "echo $CUDA_VISIBLE_DEVICES; sleep 0.2")
    fails = driver.Step("fails", 9, (("false",),))
    waits = driver.Step("waits", 9, (line,), after=("fails",))
    found = [driver.Step("first", 9, (line,), alone=True)]
    found += [driver.Step(name, 9, (line,)) for name in ("a", "b", "c")]
    found += [fails, waits, driver.Step("last", 9, (line,), after=("a", "b"), alone=True)]
    monkeypatch.setattr(driver, "steps", lambda: found)
    monkeypatch.setattr(driver, "_cards", lambda: ["one", "two"])
    driver.work()
    rows = [json.loads(row) for row in driver.STATE.read_text().splitlines()]
    at = {(row["step"], row["state"]): row["at"] for row in rows}
    assert ("waits", "begun") not in at
    assert at["first", "done"] <= min(at["a", "begun"], at["b", "begun"])
    assert max(at[name, "done"] for name in "abc") <= at["last", "begun"]
    cards = {row["step"]: row["cards"] for row in rows if row["state"] == "begun"}
    assert cards["first"] == cards["last"] == [0, 1]
    assert {tuple(cards[name]) for name in "abc"} == {(0,), (1,)}
    assert (driver.LOGS / "a.log").read_text().splitlines()[-1] == str(cards["a"][0])


def test_the_page_is_what_the_kept_records_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    root = SCRIPTS.parent
    assert script("h100_report").page(root / "results") == (root / "docs" / "h100.md").read_text()


def test_kept_records_hold_no_home_of_their_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    log = tmp_path / "unpacked" / "logs" / "wall.log"
    log.parent.mkdir(parents=True)
    log.write_text("in /home/somebody/ib/cache")
    records = script("h100_records")
    records.keep(tmp_path / "unpacked", tmp_path)
    assert (tmp_path / records.GATE / "machine" / "wall.log").read_text() == "in ~/ib/cache"


def test_the_page_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    report = script("h100_report")
    faults = tmp_path / report.GATE / "faults.json"
    faults.parent.mkdir(parents=True)
    row = {"fault": "hangs", "outcome": "server_failed", "exit": 0, "seconds": 61.2, "reason": "a | b"}
    faults.write_text(json.dumps([row | {"gpu_used_mib": [4, 4], "log": ""}]))
    assert "| hangs | server_failed | 61 s | 4 MiB → 4 MiB | a / b |" in report.faults(tmp_path)
    assert report.zoo(report.judged(tmp_path)) == report.margins(tmp_path) == "Not run."
    assert report.between([], []) == "vLLM was not run on both."
    assert report.noise([]) == "No cell was repeated."
    assert report.spent([]) == "No search was run."
    assert report.searches([]) == "No search was run."
