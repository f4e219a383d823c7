"""Removing what a hostile command left behind."""

import subprocess
import sys
import tempfile
from pathlib import Path

from inferencebench.sandbox.removal import remove_tree

HOSTILE = """
import os, sys
from pathlib import Path
from inferencebench.sandbox.removal import remove_tree
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
os.chdir(sys.argv[1])
os.mkdir("tree")
os.chdir("tree")
os.symlink(sys.argv[2], "link")
os.mkfifo("pipe")
os.mkdir("locked")
os.mkdir("locked/inner")
open("locked/inner/file", "w").close()
os.chmod("locked/inner", 0)
os.chmod("locked", 0)
for _ in range(3000):
    os.mkdir("d")
    os.chdir("d")
open("file", "w").close()
os.chdir(sys.argv[1])
remove_tree(Path("tree"))
print(os.listdir("."))
"""


def test_depth_modes_and_links() -> None:
    """As an ordinary user, for whom modes count."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as elsewhere:
        Path(folder).chmod(0o777)
        (Path(elsewhere) / "kept").write_text("")
        argv = [sys.executable, "-c", HOSTILE, folder, elsewhere]
        result = subprocess.run(argv, capture_output=True, text=True)
        assert (result.returncode, result.stdout) == (0, "[]\n"), result.stderr
        assert (Path(elsewhere) / "kept").exists()


def test_what_is_no_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    for name in ("link", "absent"):
        remove_tree(tmp_path / name)
    assert (tmp_path / "folder").is_dir()
    assert (tmp_path / "link").is_symlink()
