"""The attacks that the wall is for, each tried from inside: secrets, other runs, ports, the disk, processes."""

import os
from pathlib import Path

import pytest

from inferencebench.sandbox.quota import used_bytes
from tests.sandbox.conftest import Box, marked
from tests.waiting import wait_for

SALT = "5e1f" * 16
KEY = "sk-ant-not-for-the-sandbox"
SEARCH = """
import os, sys
marks = [bytes.fromhex(mark).decode() for mark in sys.argv[1:]]
found = set()
for entry in os.listdir("/proc"):
    for name in ("environ", "cmdline", "maps") if entry.isdigit() else ():
        try:
            text = open(f"/proc/{entry}/{name}", errors="replace").read()
        except OSError:
            continue
        found.update(mark for mark in marks if mark in text and int(entry) != os.getpid())
for top in "/root /home /tmp /var /run /srv /mnt /opt /workspace /etc /dev/shm /proc/1/root/tmp".split():
    for folder, folders, files in os.walk(top):
        if folder.startswith(("/opt/ib", "/opt/inferencebench", os.path.realpath(sys.base_prefix))):
            folders.clear()
            continue
        found.update(mark for mark in marks if mark in folder)
        for name in files:
            try:
                text = open(os.path.join(folder, name), errors="replace").read(1 << 16)
            except OSError:
                continue
            found.update(mark for mark in marks if mark in text or mark in name)
print(sorted(found))
"""


def test_seed_salt_key_and_other_runs_are_nowhere(walled: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """By /proc of the harness (whose environment holds the key) and by every place that files could be in."""
    campaign = walled.folder / "campaign"
    other = campaign / "laptop" / "decode" / "other-run"
    other.mkdir(parents=True)
    (campaign / ".salt").write_text(SALT)
    (other / "eval.jsonl").write_text("the-eval-requests")
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    marks = [text.encode().hex() for text in (SALT, KEY, "the-eval-requests", "other-run")]
    assert walled.output(walled.python(SEARCH, *marks)) == "[]\n"
    (walled.work / "seen").write_text(KEY)
    assert walled.output(walled.python(SEARCH, *marks)) == f"['{KEY}']\n", "it finds what is there"


def test_the_harness_can_neither_be_seen_nor_signalled_nor_traced(walled: Box) -> None:
    code = f"""
import ctypes, os
tried = []
memory = "/proc/{os.getpid()}/mem"
for what in (lambda: os.kill({os.getpid()}, 0), lambda: open(memory, "rb"), lambda: os.kill({os.getppid()}, 0)):
    try:
        what()
        tried.append("did")
    except OSError:
        tried.append("refused")
libc = ctypes.CDLL(None, use_errno=True)
tried.append("did" if libc.ptrace(16, {os.getpid()}, 0, 0) == 0 else "refused")
print(tried)
"""
    assert walled.output(walled.python(code)) == f"{['refused'] * 4}\n"


def test_the_port_that_the_harness_listens_on_cannot_be_taken_first(walled: Box) -> None:
    code = """
import os, socket
for address in ("127.0.0.1", "0.0.0.0"):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((address, 7077))
        sock.listen()
        print("taken")
    except OSError as error:
        print(error.strerror)
"""
    process = walled.python(code, spec=walled.spec(gateway_port=7077))
    with process.take_gateway():
        assert walled.output(process) == "Address already in use\n" * 2


def test_a_server_that_fills_the_disk_is_ended(any_box: Box) -> None:
    code = """
number = 0
while True:
    with open(f"file{number}", "wb") as file:
        file.write(bytes(1 << 22))
        file.flush()
    number += 1
    if number > 64:
        import time
        time.sleep(60)
"""
    process = any_box.python(code, spec=any_box.spec(disk_bytes=64 << 20))
    wait_for(lambda: process.poll() is not None, timeout_s=15)
    assert process.poll() in (-9, -15)
    wait_for(lambda: "may take 67108864" in any_box.err)
    assert process.terminate().survivors == ()


def test_a_server_within_its_bounds_is_left_alone(any_box: Box) -> None:
    code = "import time; open('file', 'wb').write(bytes(1 << 20)); time.sleep(1.5); print('done')"
    assert any_box.output(any_box.python(code, spec=any_box.spec(disk_bytes=64 << 20))) == "done\n"


def test_a_tree_too_deep_to_count_counts_as_full(tmp_path: Path) -> None:
    top = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(1050):
            os.mkdir("deeper")
            os.chdir("deeper")
    finally:
        os.chdir(top)
    assert used_bytes([str(tmp_path)], 1 << 30) > 1 << 30
    from inferencebench.sandbox.removal import remove_tree

    remove_tree(tmp_path / "deeper")


def test_a_fork_bomb_ends_at_its_limit_and_with_the_sandbox(any_box: Box) -> None:
    marker = f"marker-{any_box.folder}"
    code = """
import os, time
open("started", "w").close()
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.05)
"""
    process = any_box.python(code, marker, spec=any_box.spec(max_processes=50))
    if process.limits["processes"].startswith("not enforced"):
        process.terminate()
        pytest.skip(f"{any_box.backend.name}: {process.limits['processes']}")
    wait_for(lambda: len(process.pids()) >= 40)
    assert len(process.pids()) <= 60
    assert process.terminate().survivors == ()
    assert marked(marker) == []
