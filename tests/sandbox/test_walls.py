"""What a command behind bubblewrap's walls cannot see, reach or change."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

import inferencebench
from inferencebench.errors import InfrastructureError
from inferencebench.sandbox.bubblewrap import knows_option
from inferencebench.sandbox.contract import Mount
from tests.sandbox.conftest import ECHO, Box, answer


def test_model_is_read_only(walled: Box) -> None:
    model = walled.folder / "checkpoint"
    model.mkdir()
    (model / "weights").write_text("true")
    base = walled.spec()
    spec = walled.spec(mounts=(*base.mounts, Mount(model, "/model")))
    script = "echo false > /model/weights || echo new > /model/new || rm /model/weights || chmod 777 /model"
    assert walled.code(walled.run(["/bin/sh", "-c", script], spec)) != 0
    assert walled.err.count("Read-only file system") == 4
    assert [(path.name, path.read_text()) for path in model.iterdir()] == [("weights", "true")]


def test_no_route_out(walled: Box) -> None:
    """Another machine's address, this machine's address, another sandbox's name: all fail at once."""
    code = """
import json, socket, time
tried = {}
for address in ("192.0.2.1", "8.8.8.8", "10.0.0.1", "169.254.169.254", "2001:db8::1"):
    start = time.monotonic()
    try:
        socket.create_connection((address, 80), timeout=30).close()
        tried[address] = "connected"
    except OSError as error:
        tried[address] = [error.errno, time.monotonic() - start < 30]
try:
    socket.getaddrinfo("example.com", 80)
    tried["name"] = "resolved"
except OSError:
    tried["interfaces"] = [name for _, name in socket.if_nameindex()]
print(json.dumps(tried))
"""
    tried = json.loads(walled.output(walled.python(code)))
    assert tried.pop("interfaces") == ["lo"]
    assert all(outcome[0] in (101, 113, 99) and outcome[1] for outcome in tried.values()), tried


def test_the_hosts_loopback_is_another(walled: Box) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=5)"
        assert walled.code(walled.python(code)) == 1
    assert "ConnectionRefusedError" in walled.err


def test_two_sandboxes_on_one_port(walled: Box) -> None:
    first, second = walled.python(ECHO, "first"), walled.python(ECHO, "second")
    assert first.port == second.port
    for _ in range(20):
        assert answer(first) == "first?"
        assert answer(second) == "second?"
    first.terminate()
    with pytest.raises(ConnectionError):
        first.connect()
    assert answer(second) == "second?"


def test_gold_answers_are_hidden(walled: Box) -> None:
    """An empty, read-only file system covers them; the code beside them is there."""
    questions = Path(inferencebench.__file__).parent / "workload" / "questions"
    assert questions.is_dir()
    script = """
cd /opt/inferencebench/inferencebench/workload || exit 1
ls __init__.py; ls -A questions; touch questions/x 2>/dev/null && echo writable
grep -o ' /opt/inferencebench/inferencebench/workload/questions ro,.* tmpfs ' /proc/self/mountinfo | wc -l
find .. -path '*/questions/*'
"""
    assert walled.output(walled.run(["/bin/sh", "-c", script])) == "__init__.py\n1\n"


def test_masks_cover_files_and_skip_the_absent(walled: Box) -> None:
    data = walled.folder / "data"
    (data / "gold").mkdir(parents=True)
    (data / "gold" / "answers").write_text("C")
    (data / "key").write_text("secret")
    spec = walled.spec(
        mounts=(Mount(data, "/data"),), masked=("/data/gold", "/data/key", "/data/none", "/elsewhere/none"), cwd="/"
    )
    process = walled.run(["/bin/sh", "-c", "cat /data/key; ls -R /data"], spec)
    assert walled.output(process) == "/data:\ngold\nkey\n\n/data/gold:\n"


def test_host_files_and_processes_are_hidden(walled: Box) -> None:
    secret = walled.folder / "secret"
    secret.write_text("host")
    code = """
import os, sys
print(sorted(int(p) for p in os.listdir("/proc") if p.isdigit()))
print([p for p in sys.argv[1:] if os.path.exists(p)])
print(os.listdir("/root") if os.path.exists("/root") else [])
print(os.uname().nodename, open("/etc/hostname").read() if os.path.exists("/etc/hostname") else "")
"""
    hidden = ["/etc/shadow", "/etc/machine-id", "/etc/ssh", "/var/lib", "/boot", "/mnt", "/srv", str(secret)]
    pids, found, root, host = walled.output(walled.python(code, *hidden)).splitlines()
    assert set(host.split()) == {"sandbox"}
    assert len(json.loads(pids)) <= 2
    assert found == "[]"
    # The base interpreter may lie in a home directory: then the way to it, and nothing else of that home, is there.
    assert root in ("[]", "['.pyenv']", "['.local']")


def test_tmp_and_home_are_private(walled: Box) -> None:
    mark = Path("/tmp") / f"inferencebench-test-{os.getpid()}"
    mark.write_text("host")
    try:
        script = (
            'ls -A /tmp /var/tmp "$HOME"; echo inside > /tmp/inside && echo inside > "$HOME/inside"; stat -c %a /tmp'
        )
        process = walled.run(["/bin/sh", "-c", script])
        assert walled.output(process) == "/home/agent:\n\n/tmp:\n\n/var/tmp:\n1777\n"
        assert not Path("/tmp/inside").exists()
    finally:
        mark.unlink()


def test_places_in_memory_are_bounded(walled: Box) -> None:
    """Writing until a place is full ends with ENOSPC at the stated part of the memory; /dev itself takes nothing."""
    if not knows_option(shutil.which("bwrap") or "", "--size"):
        pytest.skip("this bubblewrap cannot bound a tmpfs")
    code = """
import errno, os
for place in ("/tmp", "/var/tmp", "/dev/shm", os.environ["HOME"]):
    taken = 0
    with open(place + "/file", "wb", buffering=0) as file:
        try:
            while taken < 1 << 30:
                taken += file.write(bytes(1 << 20))
        except OSError as error:
            assert error.errno == errno.ENOSPC
    os.unlink(place + "/file")
    print(place, taken >> 20)
try:
    open("/dev/file", "w")
except OSError as error:
    print(error.strerror)
with open("/dev/null", "w") as null:
    null.write("x")
os.openpty()
"""
    process = walled.python(code, spec=walled.spec(memory_bytes=256 << 20))
    *places, refused = walled.output(process).splitlines()
    assert places == ["/tmp 64", "/var/tmp 16", "/dev/shm 32", "/home/agent 32"]
    assert refused in ("Read-only file system", "Permission denied")


def test_no_privileges(walled: Box) -> None:
    script = "id -u; grep -E '^(Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs)' /proc/self/status; cat /proc/1/environ"
    lines = walled.output(walled.run(["/bin/sh", "-c", script])).split()
    assert lines[0] == "1000"
    assert set(lines[2:10:2]) == {"0" * 16}
    assert lines[10:] == ["1"]


def test_the_hosts_kernel_and_devices_cannot_be_changed(walled: Box) -> None:
    """Root outside owns these, and owners need no capability; true for a harness that runs as root."""
    before = Path("/proc/sys/kernel/core_pattern").read_text(), os.stat("/dev/null").st_mode
    script = """
(cat /proc/sys/kernel/core_pattern > /proc/sys/kernel/core_pattern) 2>/dev/null && echo core_pattern
test -w /proc/sysrq-trigger && echo sysrq
chmod 644 /dev/null 2>/dev/null && echo device
chmod 644 /dev/stdin 2>/dev/null && echo stdin
python3 -c 'import os; os.fchmod(0, 0o644)' 2>/dev/null && echo descriptor
touch /usr/x /etc/x /x 2>/dev/null && echo system
echo nothing > /dev/null && head -c 1 /dev/zero | wc -c
"""
    assert walled.output(walled.run(["/bin/sh", "-c", script])) == "1\n"
    assert (Path("/proc/sys/kernel/core_pattern").read_text(), os.stat("/dev/null").st_mode) == before


def test_every_namespace_is_its_own_and_ends(walled: Box) -> None:
    kinds = ("user", "pid", "net", "mnt", "ipc", "uts")
    process = walled.run(["/bin/sleep", "600"])
    inside = {kind: os.readlink(f"/proc/{process.pids()[0]}/ns/{kind}") for kind in kinds}
    assert all(inside[kind] != os.readlink(f"/proc/self/ns/{kind}") for kind in kinds)
    process.terminate()
    for entry in Path("/proc").glob("[0-9]*/ns/*"):
        try:
            assert os.readlink(entry) != inside.get(entry.name), entry
        except OSError:
            continue


def test_with_a_gpu_a_process_names_its_threads_and_writes_nothing_else_of_proc(walled: Box) -> None:
    """CUDA starts only where it can; the rest is refused for a sandbox that runs as the owner of these files too."""
    code = """
import os
open("/proc/self/task/%d/comm" % os.getpid(), "w").write("cuda-thread")
print(open("/proc/self/comm").read().strip())
for entry in os.scandir("/proc"):
    if entry.name.isdigit() or entry.is_symlink():
        continue
    for folder, _, files in os.walk(entry.path) if entry.is_dir() else [("/proc", [], [entry.name])]:
        for name in files:
            if os.access(os.path.join(folder, name), os.W_OK):
                print("writable", os.path.join(folder, name))
"""
    process = walled.python(code, spec=walled.spec(gpus=(0,)))
    named, *writable = walled.output(process).splitlines()
    assert named == "cuda-thread"
    if walled.backend.name in ("bubblewrap", "unshare"):  # container programs mask /proc in their own way
        assert writable == []


def test_host_paths_are_not_in_the_first_process(walled: Box) -> None:
    process = walled.run(["/bin/sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline"])
    assert str(walled.folder) not in walled.output(process)


def test_what_cannot_be_set_up_says_why(walled: Box) -> None:
    with pytest.raises(InfrastructureError, match="/nowhere"):
        walled.run(["/bin/true"], walled.spec(cwd="/nowhere"))


def test_many_at_once(walled: Box) -> None:
    """Namespaces' numbers are reused by the kernel: the end of one never touches another."""
    for _ in range(3):
        group = [walled.python(ECHO, str(number)) for number in range(4)]
        for number, process in enumerate(group):
            if number % 2:
                assert process.terminate().survivors == ()
        for number, process in enumerate(group):
            if number % 2 == 0:
                assert answer(process) == f"{number}?"
        for process in group:
            process.terminate()


def test_ordinary_user(walled: Box) -> None:
    """The same as root and as an ordinary user: here root becomes `nobody` and serves, connects and ends."""
    python = "/usr/bin/python3"
    if os.geteuid() != 0:
        pytest.skip("this run is an ordinary user's already")
    version = subprocess.run([python, "-c", "import sys; print(sys.version_info >= (3, 11))"], capture_output=True)
    if version.stdout != b"True\n":
        pytest.skip("no Python >= 3.11 that another user may run")
    package = Path(inferencebench.__file__).parent
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "inferencebench").mkdir()
        for name in ("__init__.py", "errors.py", "paths.py"):
            shutil.copy(package / name, folder / "inferencebench")
        shutil.copytree(package / "sandbox", folder / "inferencebench" / "sandbox")
        subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
        command = [
            "setpriv",
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            python,
            "-B",
            "-c",
            NOBODY,
            ECHO,
        ]
        result = subprocess.run(
            command, env={"PYTHONPATH": str(folder)}, cwd="/", capture_output=True, text=True, timeout=60
        )
    finally:
        shutil.rmtree(folder)
    assert result.returncode == 0, result.stderr
    uid, heard, limits, survivors = result.stdout.splitlines()
    assert (uid, heard, survivors) == ("65534", "nobody:hello", "()")
    assert "not enforced" in limits or "cgroup" in limits


NOBODY = """
import os, sys, tempfile, time
from inferencebench.sandbox.bubblewrap import Bubblewrap
from inferencebench.sandbox.contract import SandboxSpec
print(os.getuid())
with tempfile.TemporaryFile() as log:
    spec = SandboxSpec(cwd="/tmp", memory_bytes=1 << 30, max_processes=50)
    process = Bubblewrap().start(spec, ["/usr/bin/python3", "-I", "-S", "-c", sys.argv[1], "nobody:"], log, log)
    while True:
        try:
            sock = process.connect()
            break
        except ConnectionRefusedError:
            time.sleep(0.02)
    sock.sendall(b"hello")
    print(sock.recv(100).decode())
    print(process.limits)
    print(process.terminate().survivors)
"""
