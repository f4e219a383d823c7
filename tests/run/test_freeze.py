"""Freezing an untrusted directory."""

import os
from pathlib import Path

import pytest

from inferencebench.run.freeze import SubmissionTooLarge, diff, freeze

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
    with pytest.raises(SubmissionTooLarge, match=r"weights\.bin"):
        freeze(source, tmp_path / "out", 4000)


def test_diff_shows_text_and_names_binaries(tmp_path: Path) -> None:
    source = _submission(tmp_path)
    (source / "weights.bin").write_bytes(b"\xff\xfe\x00")
    manifest = freeze(source, tmp_path / "out", BIG)
    patch = diff(None, tmp_path / "out", manifest)
    assert "+exec serve\n" in patch
    assert "Binary or large file: weights.bin (3 bytes" in patch
    assert "exec serve" not in diff(source, tmp_path / "out", manifest)
