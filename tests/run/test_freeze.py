"""Freezing an untrusted directory."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inferencebench.files import write_json
from inferencebench.run import freeze as module
from inferencebench.run.freeze import NotFreezable, diff, freeze
from inferencebench.sandbox.removal import remove_tree

BIG = 10**9


def _submission(root: Path) -> Path:
    source = root / "submission"
    (source / "lib").mkdir(parents=True)
    (source / "start_server.sh").write_text("#!/bin/bash\nexec serve\n")
    (source / "start_server.sh").chmod(0o755)
    (source / "lib" / "a.py").write_text("x = 1\n")
    return source


def test_copy_is_named_by_content_and_mode(tmp_path: Path) -> None:
    source = _submission(tmp_path)
    first = freeze(source, tmp_path / "one", BIG)
    assert [f.path for f in first.files] == ["lib/a.py", "start_server.sh"]
    assert os.access(tmp_path / "one" / "start_server.sh", os.X_OK)
    assert freeze(source, tmp_path / "two", BIG).sha256 == first.sha256
    (source / "lib" / "a.py").write_text("x = 2\n")
    changed = freeze(source, tmp_path / "three", BIG)
    assert changed.sha256 != first.sha256
    (source / "lib" / "a.py").chmod(0o755)
    assert freeze(source, tmp_path / "four", BIG).sha256 != changed.sha256


def test_links_out_and_special_files_are_left_out_and_said(tmp_path: Path) -> None:
    source = _submission(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("key")
    (source / "absolute").symlink_to(secret)
    (source / "climbing").symlink_to("../secret")
    (source / "folder").symlink_to(tmp_path)
    (source / "fine").symlink_to("lib/a.py")
    os.mkfifo(source / "pipe")
    manifest = freeze(source, tmp_path / "out", BIG)
    assert [f.path for f in manifest.files] == ["fine", "lib/a.py", "start_server.sh"]
    assert {line.split(":")[0] for line in manifest.left_out} == {"absolute", "climbing", "folder", "pipe"}
    assert "key" not in "".join(p.read_text() for p in (tmp_path / "out").rglob("*") if p.is_file())


def test_a_submission_over_its_limit_is_refused(tmp_path: Path) -> None:
    source = _submission(tmp_path)
    (source / "weights.bin").write_bytes(b"0" * 5000)
    with pytest.raises(NotFreezable, match=r"weights\.bin"):
        freeze(source, tmp_path / "out", 4000)


def test_diff_shows_text_and_names_binaries(tmp_path: Path) -> None:
    source = _submission(tmp_path)
    (source / "weights.bin").write_bytes(b"\xff\xfe\x00")
    manifest = freeze(source, tmp_path / "out", BIG)
    patch = diff(None, tmp_path / "out", manifest)
    assert "+exec serve\n" in patch
    assert "Link, binary or large file: weights.bin (3 bytes" in patch
    assert "exec serve" not in diff(source, tmp_path / "out", manifest)


def _everything(folder: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def during_first_file(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Arranges for something to happen while the first file is being copied, as an agent's process would do it."""
    copy = module._Copy._file

    def arrange(happen: Callable[[], object]) -> None:
        def copying(self: module._Copy, *args: object) -> None:
            copy(self, *args)  # type: ignore[arg-type]
            monkeypatch.setattr(module._Copy, "_file", copy)
            happen()

        monkeypatch.setattr(module._Copy, "_file", copying)

    return arrange


@pytest.mark.parametrize("victim", ["d", "d/e"])
def test_a_directory_exchanged_for_a_link_leads_nowhere(
    tmp_path: Path, victim: str, during_first_file: Callable[[Callable[[], object]], None]
) -> None:
    """The link is put in place of a directory that was listed already, above the directory that is being read."""
    source = _submission(tmp_path)
    (source / "d" / "e" / "f").mkdir(parents=True)
    (source / "d" / "e" / "a_first").write_text("big")
    (source / "d" / "e" / "f" / "salt").write_text("own")
    (source / "d" / "e" / "salt").write_text("own")
    for outside in (tmp_path / "outside", tmp_path / "outside" / "e", tmp_path / "outside" / "f"):
        outside.mkdir()
        (outside / "salt").write_text("SECRET")

    def swap() -> None:
        (source / victim).rename(tmp_path / "moved")
        (source / victim).symlink_to(tmp_path / "outside")

    during_first_file(swap)
    freeze(source, tmp_path / "out", BIG)
    assert (source / victim).is_symlink()
    assert "SECRET" not in _everything(tmp_path / "out")
    assert (tmp_path / "out" / "d" / "e" / "f" / "salt").read_text() == "own"


def test_entries_exchanged_for_links_are_left_out(
    tmp_path: Path, during_first_file: Callable[[Callable[[], object]], None]
) -> None:
    """A directory and a file that were listed, and are links or gone when their turn comes."""
    source = tmp_path / "submission"
    (source / "z_folder").mkdir(parents=True)
    for name in ("a_first", "y_file", "z_gone"):
        (source / name).write_text("own")
    secrets = tmp_path / "outside"
    secrets.mkdir()
    (secrets / "salt").write_text("SECRET")

    def swap() -> None:
        (source / "z_folder").rmdir()
        (source / "z_folder").symlink_to(secrets)
        (source / "y_file").unlink()
        (source / "y_file").symlink_to(secrets / "salt")
        (source / "z_gone").unlink()

    during_first_file(swap)
    manifest = freeze(source, tmp_path / "out", BIG)
    assert [file.path for file in manifest.files] == ["a_first"]
    assert {line.split(":")[0] for line in manifest.left_out} == {"y_file", "z_folder", "z_gone"}
    assert "SECRET" not in _everything(tmp_path / "out")


@pytest.mark.parametrize("victim", ["d", "file"])
def test_exchanged_between_look_and_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str) -> None:
    source, outside = _submission(tmp_path), tmp_path / "outside"
    (source / "d").mkdir()
    (source / "file").write_text("own")
    outside.mkdir()
    (outside / "salt").write_text("SECRET")
    look = os.stat

    def looking(path: Any, **options: Any) -> os.stat_result:
        status = look(path, **options)
        if path == victim and "dir_fd" in options:
            monkeypatch.setattr(os, "stat", look)
            (source / victim).rename(tmp_path / "moved")
            (source / victim).symlink_to(outside if victim == "d" else outside / "salt")
        return status

    monkeypatch.setattr(os, "stat", looking)
    manifest = freeze(source, tmp_path / "out", BIG)
    assert (source / victim).is_symlink()
    assert [line.split(":")[0] for line in manifest.left_out] == [victim]
    assert "SECRET" not in _everything(tmp_path / "out")


def test_restless_submission(tmp_path: Path) -> None:
    """A thread exchanges a directory and a link as fast as it can, for half a thousand freezes."""
    source, outside = _submission(tmp_path), tmp_path / "outside"
    (source / "d").mkdir()
    (source / "d" / "salt").write_text("own")
    outside.mkdir()
    (outside / "salt").write_text("SECRET")
    (tmp_path / "link").symlink_to(outside)
    stop = threading.Event()

    def exchange() -> None:
        while not stop.is_set():
            (source / "d").rename(tmp_path / "away")
            (tmp_path / "link").rename(source / "d")
            (source / "d").rename(tmp_path / "link")
            (tmp_path / "away").rename(source / "d")

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        for number in range(500):
            freeze(source, tmp_path / "out" / str(number), BIG)
    finally:
        stop.set()
        thread.join()
    assert "SECRET" not in _everything(tmp_path / "out")


def test_links_that_only_together_lead_out(tmp_path: Path) -> None:
    """`up` is inside by its text and by its end; `out` is inside by its text only."""
    source = _submission(tmp_path)
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "b" / "up").symlink_to("../..")
    (source / "out").symlink_to("a/b/up/../secret")
    (tmp_path / "secret").write_text("SECRET")
    assert (source / "out").read_text() == "SECRET"
    manifest = freeze(source, tmp_path / "copy" / "submission", BIG)
    assert [line.split(":")[0] for line in manifest.left_out] == ["out"]
    assert "a/b/up" in [file.path for file in manifest.files]


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    source = _submission(tmp_path)
    (tmp_path / "link").symlink_to(source)
    for name in ("link", "absent", "submission/start_server.sh"):
        with pytest.raises(NotFreezable, match="not a directory that can be read"):
            freeze(tmp_path / name, tmp_path / "out", BIG)
    assert not (tmp_path / "out").exists()


def test_names_that_are_no_text(tmp_path: Path) -> None:
    source = _submission(tmp_path)
    (source / os.fsdecode(b"caf\xe9")).write_text("x")
    (source / os.fsdecode(b"dir\xff")).mkdir()
    (source / "new\nline \x1b[2J").write_text("y\n")
    manifest = freeze(source, tmp_path / "out", BIG)
    write_json(tmp_path / "manifest.json", manifest)
    assert sorted(manifest.left_out) == ["caf\\udce9: its name is not UTF-8", "dir\\udcff: its name is not UTF-8"]
    assert "new\nline \x1b[2J" in [file.path for file in manifest.files]
    patch = diff(None, tmp_path / "out", manifest)
    assert "+++ submission/new\\nline \\x1b[2J" in patch


def test_depth_and_length_are_bounded(tmp_path: Path) -> None:
    """Nested beyond what a path can say: only a walk by descriptors makes it, and `remove_tree` ends it."""
    source = _submission(tmp_path)
    deep = "import os, sys\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')"
    subprocess.run([sys.executable, "-c", deep], cwd=source, check=True)
    with pytest.raises(NotFreezable, match="64 directories deep"):
        freeze(source, tmp_path / "out", BIG)
    remove_tree(source)
    assert not source.exists()
    folder = tmp_path / "long"
    for _ in range(8):
        folder /= "n" * 200
    folder.mkdir(parents=True)
    with pytest.raises(NotFreezable, match="longer than 1024 bytes"):
        freeze(tmp_path / "long", tmp_path / "out2", BIG)


def test_entries_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "submission"
    for folder in range(4):
        (source / str(folder)).mkdir(parents=True)
        for number in range(25):
            (source / str(folder) / str(number)).symlink_to("nowhere")
    monkeypatch.setattr(module, "MAX_ENTRIES", 104)
    assert len(freeze(source, tmp_path / "out", BIG).files) == 100
    monkeypatch.setattr(module, "MAX_ENTRIES", 103)
    with pytest.raises(NotFreezable, match="more than 103 files"):
        freeze(source, tmp_path / "more", BIG)


def test_a_flood_of_entries_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "submission"
    source.mkdir()
    (source / "0").write_text("")
    for number in range(1, 60_000):
        os.link(source / "0", source / str(number))
    with pytest.raises(NotFreezable, match="more than 50000 files"):
        freeze(source, tmp_path / "out", BIG)
    remove_tree(source)


UNREADABLE = """
import os, sys
from pathlib import Path
from inferencebench.run.freeze import NotFreezable, freeze
source, out = Path(sys.argv[1]), Path(sys.argv[2])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
(source / "dir").mkdir(parents=True)
(source / "dir").chmod(0)
(source / "file").write_text("x")
(source / "file").chmod(0)
(source / "start_server.sh").write_text("x")
manifest = freeze(source, out, 1000)
print([file.path for file in manifest.files], *manifest.left_out, sep="|")
source.chmod(0)
try:
    freeze(source, out, 1000)
except NotFreezable as error:
    print(error)
"""


def test_unreadable_files_are_left_out() -> None:
    """For an ordinary user: root reads everything."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        argv = [sys.executable, "-c", UNREADABLE, f"{folder}/submission", f"{folder}/out"]
        result = subprocess.run(argv, capture_output=True, text=True)
        remove_tree(Path(folder) / "submission")
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    why = "it cannot be read: Permission denied"
    assert first == f"['start_server.sh']|dir: {why}|file: {why}"
    assert second == "the submission is not a directory that can be read: Permission denied"


def test_diff_is_bounded_and_says_so(tmp_path: Path) -> None:
    source = _submission(tmp_path)
    for number in range(12):
        (source / f"{number:02}.txt").write_text("line\n" * 25_000)
    patch = diff(None, tmp_path / "out", freeze(source, tmp_path / "out", BIG))
    assert len(patch.encode()) < 1_000_100
    assert patch.endswith("Cut at 1000000 bytes: 8 more files are not shown\n")


def test_diff_is_cut_at_line_feeds_only(tmp_path: Path) -> None:
    source = _submission(tmp_path)
    (source / "odd.py").write_bytes("a\x0cb\u2028c\rd\r\ne".encode())
    patch = diff(None, tmp_path / "out", freeze(source, tmp_path / "out", BIG))
    assert "+a\x0cb\u2028c\rd\r\n+e\n\\ No newline at end of file\n" in patch
