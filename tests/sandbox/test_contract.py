"""What every back end promises."""

import os
import socket
import threading
from pathlib import Path

import pytest

from inferencebench.errors import InfrastructureError
from inferencebench.sandbox.contract import Mount
from tests.sandbox.conftest import DAEMONS, ECHO, FORK_LOOP, Box, answer, control_groups, marked
from tests.waiting import wait_for


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9), ("exit 143", -15)])
def test_exit_codes(any_box: Box, script: str, code: int) -> None:
    assert any_box.code(any_box.run(["/bin/sh", "-c", script])) == code


def test_missing_program_is_the_commands_failure(any_box: Box) -> None:
    assert any_box.code(any_box.run(["/nowhere/server"])) == 127


def test_missing_mount_is_ours(any_box: Box) -> None:
    spec = any_box.spec(mounts=(Mount(any_box.folder / "absent", "/model"),))
    with pytest.raises(InfrastructureError, match=r"/model.*does not exist"):
        any_box.run(["/bin/true"], spec)


def test_cores_we_do_not_have_are_refused(any_box: Box) -> None:
    with pytest.raises(InfrastructureError, match="cores"):
        any_box.run(["/bin/true"], any_box.spec(cpus=(100_000,)))


def test_output_and_stdin(any_box: Box) -> None:
    process = any_box.run(["/bin/sh", "-c", "echo to out; echo to err >&2; cat; ls /proc/self/fd | wc -l"])
    assert any_box.output(process) == "to out\n4\n"  # 0, 1, 2 and the directory itself
    assert any_box.err == "to err\n"


def test_environment_is_exact(any_box: Box) -> None:
    os.environ["LEAK"] = "harness"
    process = any_box.run(["/usr/bin/env"], any_box.spec(env={"A": "b c", "EMPTY": ""}))
    seen = dict(line.split("=", 1) for line in any_box.output(process).splitlines())
    assert seen == {"A": "b c", "EMPTY": "", "HOST": "127.0.0.1", "PORT": str(process.port)}


def test_cwd_and_writable_mount(any_box: Box) -> None:
    any_box.output(any_box.run(["/bin/sh", "-c", "echo kept > file"]))
    assert (any_box.work / "file").read_text() == "kept\n"


def test_paths_in_arguments_and_environment(any_box: Box) -> None:
    model = any_box.folder / "checkpoint"
    model.mkdir()
    (model / "config").write_text("weights")
    base = any_box.spec()
    spec = any_box.spec(mounts=(*base.mounts, Mount(model, "/model")), env={**base.env, "MODEL_PATH": "/model"})
    script = 'cat /model/config "$MODEL_PATH/config" 2>/dev/null; cat "$1"; "$IB_PYTHON" -c "import inferencebench"'
    process = any_box.run(["/bin/sh", "-c", script, "sh", "/model/config"], spec)
    assert "weightsweights" in any_box.output(process)


def test_cores_are_pinned(any_box: Box) -> None:
    core = min(os.sched_getaffinity(0))
    process = any_box.python("import os; print(sorted(os.sched_getaffinity(0)))", spec=any_box.spec(cpus=(core,)))
    assert any_box.output(process) == f"[{core}]\n"
    assert process.limits["cpus"] == "affinity"


def test_process_limit_is_enforced_or_said(any_box: Box) -> None:
    code = "import os, time\nfor _ in range(40):\n    if os.fork() == 0: time.sleep(600)\nprint('all')"
    process = any_box.python(code, spec=any_box.spec(max_processes=20))
    wait_for(lambda: process.poll() is not None)
    enforced = not process.limits["processes"].startswith("not enforced")
    assert enforced == ("BlockingIOError" in any_box.err) == (any_box.out == "")


def test_memory_limit_is_enforced_or_said(any_box: Box) -> None:
    spec = any_box.spec(memory_bytes=64 << 20)
    process = any_box.python("x = b'x' * (256 << 20); print(len(x))", spec=spec)
    wait_for(lambda: process.poll() is not None)
    if process.limits["memory"].startswith("not enforced"):
        assert process.poll() == 0
    else:
        assert process.poll() == -9


def test_connect(any_box: Box) -> None:
    process = any_box.python(ECHO, "me:")
    assert answer(process, "hello") == "me:hello"
    with process.connect() as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_connect_from_many_threads(any_box: Box) -> None:
    process = any_box.python(ECHO, "")
    answer(process)
    heard: list[str] = []
    threads = [threading.Thread(target=lambda n=n: heard.append(answer(process, str(n)))) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(heard, key=int) == [str(n) for n in range(32)]


def test_nobody_listens(any_box: Box) -> None:
    process = any_box.run(["/bin/sleep", "600"])
    with pytest.raises(ConnectionRefusedError):
        process.connect()


def test_connect_after_the_end(any_box: Box) -> None:
    process = any_box.python(ECHO, "")
    answer(process)
    process.terminate()
    with pytest.raises(ConnectionError):
        process.connect()


def test_started_by_a_thread_that_ends(any_box: Box) -> None:
    """A death signal is bound to the thread that forked: the sandbox must outlive it."""
    thread = threading.Thread(target=lambda: any_box.python(ECHO, "alive"))
    thread.start()
    thread.join()
    assert answer(any_box.started[0]) == "alive?"
    assert any_box.started[0].poll() is None


def test_daemons_are_killed(any_box: Box) -> None:
    marker = f"marker-{any_box.folder}"
    process = any_box.python(DAEMONS, marker)
    wait_for(lambda: len(list(any_box.work.iterdir())) == 3)
    wait_for(lambda: len(process.pids()) == 4)
    inside = process.pids()
    assert set(inside) <= set(marked(marker))
    report = process.terminate()
    assert report.survivors == ()
    assert report.killed == 4
    assert marked(marker) == []
    assert process.pids() == ()


def test_fork_loop_is_killed(any_box: Box) -> None:
    marker = f"marker-{any_box.folder}"
    process = any_box.python(FORK_LOOP, marker, spec=any_box.spec(max_processes=200))
    wait_for((any_box.work / "running").exists)
    assert process.terminate().survivors == ()
    assert marked(marker) == []


def test_daemons_of_a_finished_command_are_killed(any_box: Box) -> None:
    marker = f"marker-{any_box.folder}"
    process = any_box.python(DAEMONS.removesuffix("time.sleep(600)\n"), marker)
    any_box.code(process)
    assert process.terminate().survivors == ()
    assert marked(marker) == []


def test_grace_lets_a_server_finish(any_box: Box) -> None:
    code = """
import signal, sys, time
def bye(*_):
    time.sleep(0.2)
    open("finished", "w").close()
    sys.exit(0)
signal.signal(signal.SIGTERM, bye)
open("ready", "w").close()
time.sleep(600)
"""
    process = any_box.python(code)
    wait_for((any_box.work / "ready").exists)
    assert process.terminate(grace_s=10).survivors == ()
    assert (any_box.work / "finished").exists()
    assert process.poll() == 0


def test_terminate_is_idempotent_and_thread_safe(any_box: Box) -> None:
    process = any_box.run(["/bin/sleep", "600"])
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(process.terminate())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(reports)) == 1
    assert process.terminate() is reports[0]
    assert process.poll() is not None


def test_nothing_is_left(any_box: Box) -> None:
    """Mounts, control groups, private directories, helper processes and open files are as before."""
    before = (Path("/proc/self/mounts").read_text(), len(os.listdir("/proc/self/fd")))
    process = any_box.run(["/bin/sleep", "600"], any_box.spec(memory_bytes=1 << 30, max_processes=100))
    lines = Path(f"/proc/{process.pids()[0]}/cgroup").read_text().splitlines()
    groups = {line.rpartition("/")[2] for line in lines if "/inferencebench-" in line}
    warden = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
    environ = Path(f"/proc/{process.pids()[0]}/environ")
    wait_for(lambda: "HOME=" in environ.read_text())
    home = environ.read_text().split("HOME=")[1].split("\0")[0]
    process.terminate()
    assert (Path("/proc/self/mounts").read_text(), len(os.listdir("/proc/self/fd"))) == before
    assert not Path(f"/proc/{warden}").exists()
    assert any_box.backend.verified or not Path(home).exists()
    for group in groups:
        assert not control_groups(group)


def test_killed_helper_ends_the_command(any_box: Box) -> None:
    process = any_box.python(ECHO, f"marker-{any_box.folder}")
    answer(process)
    warden = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(warden, 9)
    wait_for(lambda: process.poll() is not None)
    wait_for(lambda: not marked(f"marker-{any_box.folder}"))
    with pytest.raises(ConnectionError):
        process.connect()
    assert process.terminate().survivors == ()


def test_the_gateway_is_the_harnesss_from_the_first_instruction(any_box: Box) -> None:
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    code = (
        "import socket, sys\n"
        "peer = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "peer.sendall(b'ask'); print(peer.recv(9).decode())"
    )
    process = any_box.python(code, str(port), spec=any_box.spec(gateway_port=port))
    with process.take_gateway() as listener:
        peer, _ = listener.accept()
        assert peer.recv(9) == b"ask"
        peer.sendall(b"told")
        peer.close()
    assert any_box.output(process) == "told\n"
    with pytest.raises(InfrastructureError, match="taken"):
        process.take_gateway()
