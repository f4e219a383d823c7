"""`campaign sync`: what is copied and what never is, again, after an interruption, and whole files only."""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import fsspec
import pytest

from inferencebench.campaign import target as targets
from inferencebench.campaign.plan import Plan
from inferencebench.campaign.sync import SUMS, sync
from inferencebench.campaign.target import target
from inferencebench.errors import InfrastructureError, MissingError, UserError
from tests.campaign.test_driver import begun_log, finish, the_plan

FILES = ("spec.json", "events.jsonl", "measure/measured.json", "solve/workspace/notes.txt", "solve/stdout.log")
SEALED = ("prepare/eval.jsonl", "prepare/eval_questions.jsonl", "quality/answers.jsonl")


def a_run(out: Path, folder: Path) -> None:
    for name in (*FILES, *SEALED, ".lock"):
        path = out / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} of {folder}\n" * 50)


@pytest.fixture
def campaign(tmp_path: Path) -> tuple[Plan, Path]:
    """Two finished runs and one under way."""
    todo, out = the_plan(), tmp_path / "out"
    for task in todo.tasks:
        a_run(out, task.directory)
    for task in todo.tasks[:2]:
        finish(out, task)
    begun_log(out).append("placed", todo.tasks[2].id, handle="h")
    (out / ".salt").write_bytes(bytes(32))
    (out / "laptop" / ".quality").mkdir()
    (out / "laptop" / ".quality" / "k.jsonl").write_text("answers")
    os.symlink("/etc/hostname", out / todo.tasks[0].directory / "solve" / "link")
    return todo, out


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_finished_runs_are_copied_once_whole_and_checkable(
    campaign: tuple[Plan, Path], tmp_path: Path, kind: str
) -> None:
    todo, out = campaign
    to = target(str(tmp_path / "copy") if kind == "local" else "memory://copy/a", [])
    first = sync(todo, out, to)
    assert (first.finished, first.same, first.sealed) == (2, 0, 2 * len(SEALED) + 2)
    assert first.copied == 2 * (len(FILES) + 1) + 1
    sums = (to.get(SUMS) or b"").decode().splitlines()
    assert len(sums) == first.copied
    for line in sums:
        digest, name = line.split("  ", 1)
        assert hashlib.sha256(to.get(name) or b"").hexdigest() == digest
    assert set(to.sizes()) == {line.split("  ", 1)[1] for line in sums} | {SUMS}
    again = sync(todo, out, to)
    assert (again.copied, again.same) == (0, first.copied)
    finish(out, todo.tasks[2])
    more = sync(todo, out, to)
    assert (more.copied, more.finished) == (len(FILES) + 1, 3)
    if kind == "local":
        assert subprocess.run(["sha256sum", "-c", "--quiet", SUMS], cwd=tmp_path / "copy", check=False).returncode == 0


def test_what_is_secret_stays_until_the_campaign_is_disclosed(campaign: tuple[Plan, Path], tmp_path: Path) -> None:
    todo, out = campaign
    copy = tmp_path / "copy"
    sync(todo, out, target(str(copy), []))
    kept = [n for n in names(copy) if any(w in n for w in (".salt", "eval", ".quality", "answers", ".lock", "link"))]
    assert kept == []
    with pytest.raises(UserError, match="1 runs are not finished"):
        sync(todo, out, target(str(copy), []), disclose=True)
    finish(out, todo.tasks[2])
    assert sync(todo, out, target(str(copy), []), disclose=True).sealed == 0
    assert {".salt", "laptop/.quality/k.jsonl"} <= names(copy)
    assert f"{todo.tasks[0].directory}/prepare/eval.jsonl" in names(copy)


def test_a_key_in_a_record_ends_the_copy_and_is_not_printed(
    campaign: tuple[Plan, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo, out = campaign
    key = "sk-test-0123456789abcdef"
    monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    (out / todo.tasks[1].directory / "solve" / "stdout.log").write_text("x" * ((1 << 20) - 9) + key + "y")
    with pytest.raises(UserError, match=r"stdout.log: holds the value of \$ANTHROPIC_API_KEY") as caught:
        sync(todo, out, target(str(tmp_path / "copy"), []))
    assert key not in str(caught.value)
    assert not any(key in path.read_text() for path in (tmp_path / "copy").rglob("*") if path.is_file())


def test_records_only_leaves_the_bulk_out(campaign: tuple[Plan, Path], tmp_path: Path) -> None:
    todo, out = campaign
    plan = Plan(todo.campaign.model_copy(update={"keep": "records"}), todo.tasks)
    sync(plan, out, target(str(tmp_path / "copy"), []))
    assert not [name for name in names(tmp_path / "copy") if "workspace" in name]


class Failing:
    """A file system that fails at given calls of `put_file`, after half of the file was written."""

    def __init__(self, inner: Any, fails: set[int]) -> None:
        self._inner, self._fails, self.calls = inner, fails, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def put_file(self, source: str, there: str) -> None:
        self.calls += 1
        if self.calls in self._fails:
            data = Path(source).read_bytes()
            self._inner.pipe_file(there, data[: len(data) // 2])
            raise ConnectionResetError("the other side went away")
        self._inner.put_file(source, there)


def test_an_interrupted_copy_goes_on_and_no_half_file_is_ever_seen(
    campaign: tuple[Plan, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "BACKOFF_S", 0.0)
    monkeypatch.setattr("inferencebench.campaign.sync.BATCH", 2)
    todo, out = campaign
    copy = tmp_path / "copy"
    copy.mkdir()
    local = fsspec.filesystem("file")
    once = Failing(local, {3})
    assert sync(todo, out, targets.Target(once, str(copy))).copied == once.calls - 2, "one file, and the sums, beside"
    for path in copy.rglob("*"):
        if path.is_file():
            path.unlink()
    broken = Failing(local, set(range(6, 100)))
    with pytest.raises(InfrastructureError, match=r"cannot write .*: the other side went away"):
        sync(todo, out, targets.Target(broken, str(copy)))
    whole = {name for name in names(copy) if name != SUMS}
    assert len(whole) == 5
    assert all((copy / name).read_bytes() == (out / name).read_bytes() for name in whole)
    rest = sync(todo, out, targets.Target(local, str(copy)))
    assert rest.copied + rest.same == 2 * (len(FILES) + 1) + 1
    assert rest.same >= 4, "what was copied before is not copied again"


def test_damage_at_the_target_is_mended(campaign: tuple[Plan, Path], tmp_path: Path) -> None:
    todo, out = campaign
    to = target(str(tmp_path / "copy"), [])
    sync(todo, out, to)
    result = todo.tasks[0].directory / "result.json"
    (tmp_path / "copy" / result).write_text("{")
    (tmp_path / "copy" / todo.tasks[0].directory / "spec.json").unlink()
    assert sync(todo, out, to).copied == 2
    assert json.loads((tmp_path / "copy" / result).read_text())["outcome"] == "passed"


def test_bad_places_are_one_line(campaign: tuple[Plan, Path], tmp_path: Path) -> None:
    todo, _ = campaign
    with pytest.raises(UserError, match="nowhere://"):
        target("nowhere://x", [])
    with pytest.raises(MissingError, match="gcsfs"):
        target("gs://bucket/x", [])
    with pytest.raises(UserError, match="NAME=VALUE"):
        target(str(tmp_path), ["endpoint_url"])
    with pytest.raises(UserError, match="no campaign was started here"):
        sync(todo, tmp_path / "empty", target(str(tmp_path / "copy"), []))
