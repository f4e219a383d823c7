"""The warden: the small single-threaded helper process beside every sandbox. Run with `-I -S`: standard library only.

It starts the command, hands out sockets that belong to the sandbox's network namespace, and ends everything when asked
or when the harness is gone. A process of its own is needed because `setns` into a user namespace is refused to
programs with threads, and because a thread that ends would fire the death signal of the children it started.

Protocol: JSON lines over a stream socket. The first request is an `Order`; later ones are `{"do": "socket"}` (the
answer carries an unconnected TCP socket), `{"do": "names"}` (host names that were asked for inside, and how
often something was to go where no route leads) and `{"do": "end", "grace_s": x}`. The command's exit code is written
as text into the status pipe.
"""

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from inferencebench.sandbox.names import NameSink, unrouted
from inferencebench.sandbox.namespaces import (
    CLONE_NEWNET,
    GATE,
    PR_SET_PDEATHSIG,
    call_libc,
    contained,
    join,
    protect_devices,
)
from inferencebench.sandbox.quota import Quota
from inferencebench.sandbox.removal import remove_tree
from inferencebench.sandbox.tree import LINUX, Ended, descendants, end, first_of_namespace, namespace_members

PR_SET_CHILD_SUBREAPER = 36
SETUP_TIMEOUT_S = 20.0

BOOT = (
    "import sys; sys.path.append(sys.argv.pop(1)); from inferencebench.sandbox.warden import main; main(sys.argv[1:])"
)
"""Program of the helper process; its first argument is the directory that holds the package."""


class Order(NamedTuple):
    """What to start."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    wall: list[str]
    """Program that makes the namespaces, and its arguments; empty: no namespaces, the process tree is tracked."""
    wall_options: list[str]
    """Further arguments that are passed through `--args`, so that they are not seen in the sandbox's /proc."""
    cpus: list[int]
    cgroups: list[str]
    """Directories of control groups to join before the start and to remove at the end."""
    max_processes: int | None
    """Limit set by rlimit inside; None where a control group does it or nothing."""
    scratch: list[str]
    """Private directories to remove at the end."""
    gateway: int | None = None
    """Port on the sandbox's loopback whose listening socket is passed to the harness with the answer."""
    writable: list[str] | None = None
    """Host directories that the sandbox may write to."""
    disk_bytes: int | None = None
    """What they may hold together; None: as much as there is."""
    container: dict[str, str] | None = None
    """The wall is a container program with this environment of its own; `env` is then the command's."""


def remove(directories: list[str], cgroups: list[str]) -> None:
    """Remove private directories and control groups; the kernel frees a group a moment after its last process."""
    for path in directories:
        remove_tree(path)
    for path in cgroups:
        for _ in range(200):
            try:
                os.rmdir(path)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    break
                time.sleep(0.01)
            else:
                break


def confine(cgroups: list[str], pid: int) -> None:
    """Move a process (0: this one) into control groups."""
    for group in cgroups:
        with open(os.path.join(group, "cgroup.procs"), "w") as file:
            file.write(str(pid))


def spawn(order: Order, argv: list[str], env: dict[str, str], fds: dict[int, int]) -> int:
    """Fork and exec with `fds` (target: source) in place. OSError when the way to exec fails; a missing program is
    the command's own failure and exits with 127 (126 when it may not be run), as a shell would."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            if LINUX:
                call_libc("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
                if order.container is None:
                    confine(order.cgroups, 0)
                if order.cpus:
                    os.sched_setaffinity(0, order.cpus)
            if not order.wall:
                os.chdir(order.cwd)
            high = {target: fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, 20) for target, source in fds.items()}
            tell = fcntl.fcntl(tell, fcntl.F_DUPFD_CLOEXEC, 20)
            for target, source in high.items():
                os.dup2(source, target)
        except BaseException as error:
            os.write(tell, str(error).encode())
            os._exit(1)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        try:
            os.execvpe(argv[0], argv, env)
        except OSError as error:
            os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
            os._exit(127 if isinstance(error, FileNotFoundError) else 126)
    os.close(tell)
    with os.fdopen(told, "rb") as file:
        trouble = file.read().decode(errors="replace")
    if trouble:
        os.waitpid(pid, 0)
        raise OSError(trouble)
    return pid


class Warden:
    """State of the helper process."""

    def __init__(self, harness: int, control: socket.socket, status: int, stdio: dict[int, int]) -> None:
        self.harness, self.control, self.status, self.stdio = harness, control, status, stdio
        self.child = 0
        self.init: int | None = None
        self.pid_namespace = 0
        self.order: Order | None = None
        self.sink: NameSink | None = None
        self.said: int | None = None
        self.quota: Quota | None = None

    def members(self) -> list[int]:
        """Living processes of the sandbox."""
        if self.init is not None:
            return namespace_members(self.pid_namespace, self.init)
        return descendants(os.getpid())

    def reap(self) -> bool:
        """Collect the dead (own child and adopted orphans); the command's exit code goes into the status pipe.

        True when there is no child any more, dead or alive."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == self.child:
                code = os.waitstatus_to_exitcode(status)
                with contextlib.suppress(BrokenPipeError):  # the harness is gone
                    os.write(self.status, str(-(code - 128) if 128 < code <= 192 else code).encode())

    def start(self, order: Order) -> tuple[dict[str, Any], list[int]]:
        """Start the command; the answer and the file descriptors that go with it (the PID namespace)."""
        self.order = order
        if order.writable and order.disk_bytes is not None:
            self.quota = Quota(order.writable, order.disk_bytes)
        if LINUX:
            call_libc("prctl", PR_SET_CHILD_SUBREAPER, 1)
        if order.wall:
            return self.start_walled(order)
        fds = self.gateway(order)
        self.child = spawn(order, order.argv, order.env, self.stdio)
        return {"pid": self.child, "init": None, "namespace": 0}, fds

    def gateway(self, order: Order) -> list[int]:
        """The listening socket that was ordered, if one was; it belongs to the network this process is in."""
        if order.gateway is None:
            return []
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", order.gateway))
        listener.listen(128)
        return [listener.detach()]

    def start_walled(self, order: Order) -> tuple[dict[str, Any], list[int]]:
        """Start the command behind namespaces and join its network before its first instruction."""
        ready_r, ready_w = os.pipe()
        go_r, go_w = os.pipe()
        said_r, said_w = os.pipe()
        if order.container is None:
            find, extra = self.spawn_walled(order, go_r, ready_w, said_w)
        else:
            find, extra = self.spawn_contained(order, go_r, ready_w, said_w)
        for fd in (ready_w, go_r, said_w):
            os.close(fd)
        if not select.select([ready_r], [], [], SETUP_TIMEOUT_S)[0] or not os.read(ready_r, 1):
            os.kill(self.child, signal.SIGKILL)
            with os.fdopen(said_r, "rb") as file:
                raise OSError(file.read().decode(errors="replace").strip() or "no answer from inside")
        init = find()
        pid_namespace = os.open(f"/proc/{init}/ns/pid", os.O_RDONLY)
        self.init, self.pid_namespace = init, os.fstat(pid_namespace).st_ino
        if order.container is not None:
            self.bound(order)
        if os.geteuid() == 0:
            protect_devices(init)
        net = os.open(f"/proc/{init}/ns/net", os.O_RDONLY)
        join(net, CLONE_NEWNET)
        with contextlib.suppress(OSError):
            self.sink = NameSink()
        gateway = self.gateway(order)
        os.write(go_w, b"\n")
        for fd in (net, ready_r, go_w, *extra):
            os.close(fd)
        self.said = said_r  # what the wall says later has a reader, lest the wall die of it
        return {"pid": self.child, "init": init, "namespace": self.pid_namespace}, [pid_namespace, *gateway]

    def spawn_walled(self, order: Order, go: int, ready: int, said: int) -> tuple[Callable[[], int], list[int]]:
        """Start bubblewrap, or our own program that speaks as it does; how to find the first process inside."""
        info_r, info_w = os.pipe()
        options = os.memfd_create("options")
        os.write(options, b"".join(option.encode() + b"\0" for option in order.wall_options))
        os.lseek(options, 0, os.SEEK_SET)
        limit = str(order.max_processes or "")
        command = [*order.wall, "--info-fd", "5", "--args", "6", "--", "/bin/sh", "-c", GATE, "sh", limit, *order.argv]
        fds = {0: go, 1: self.stdio[1], 2: said, 3: ready, 4: self.stdio[2], 5: info_w, 6: options}
        self.child = spawn(order, command, {}, fds)
        os.close(info_w)
        os.close(options)

        def find() -> int:
            with os.fdopen(info_r, "rb", closefd=False) as file:
                return int(json.load(file)["child-pid"])

        return find, [info_r]

    def spawn_contained(self, order: Order, go: int, ready: int, said: int) -> tuple[Callable[[], int], list[int]]:
        """Start a container program, between which and us only descriptors above 2 are shared."""
        command = [*order.wall, *contained(order.argv, order.env)]
        fds = {0: self.stdio[0], 1: said, 2: said, 3: ready, 4: self.stdio[2], 5: self.stdio[1], 6: go}
        self.child = spawn(order, command, order.container or {}, fds)
        return lambda: first_of_namespace(os.getpid()), []

    def bound(self, order: Order) -> None:
        """Limits of what is inside a container: its program and monitor stay outside of them."""
        for pid in [self.init or 0, *self.members()]:
            confine(order.cgroups, pid)
            if order.cpus:
                os.sched_setaffinity(pid, order.cpus)

    def answer(self, line: bytes) -> tuple[dict[str, Any], list[int], bool]:
        """Carry out one request: the answer, descriptors to pass along, and whether all is over."""
        request = json.loads(line)
        if self.order is None:
            return *self.start(Order(**request)), False
        if request["do"] == "names":
            if self.sink is not None:
                self.sink.answer()
            names = None if self.sink is None else list(self.sink.names)
            return {"names": names, "unrouted": unrouted() if self.order.wall else None}, [], False
        if request["do"] == "socket":
            return {}, [socket.socket(socket.AF_INET, socket.SOCK_STREAM).detach()], False
        return self.finish(request["grace_s"])._asdict(), [], True

    def finish(self, grace_s: float) -> Ended:
        """End everything and clean up."""
        ended = end(self.members, self.init, grace_s, self.reap)
        if self.order is not None:
            remove(self.order.scratch, self.order.cgroups)
        return ended

    def keep_disk(self) -> None:
        """End everything inside when it has written more than it may, and say so where the command's errors go."""
        used = self.quota.exceeded() if self.quota else None
        if used is None or self.order is None:
            return
        self.quota = None
        self.finish(0.0)
        said = f"sandbox: ended, since its files take {used} bytes of disk and may take {self.order.disk_bytes}\n"
        with contextlib.suppress(OSError):
            os.write(self.stdio[2], said.encode())

    def serve(self) -> None:
        """Answer requests until told to end, or until the harness is gone (closed socket, or another parent: a forked
        copy of the harness may keep the socket open)."""
        poller = select.poll()
        wake_r, wake_w = os.pipe()
        os.set_blocking(wake_w, False)
        os.set_blocking(wake_r, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        poller.register(self.control, select.POLLIN)
        poller.register(wake_r, select.POLLIN)
        buffer, watched = b"", False
        while os.getppid() == self.harness:
            ready = {fd for fd, _ in poller.poll(500)}
            if wake_r in ready:
                os.read(wake_r, 4096)
            self.reap()
            self.keep_disk()
            if self.sink is not None and not watched:
                poller.register(self.sink.socket, select.POLLIN)
                watched = True
            if self.sink is not None and self.sink.socket.fileno() in ready:
                self.sink.answer()
            if self.control.fileno() not in ready:
                continue
            try:
                data = self.control.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                break
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                if self.reply(line):
                    return
        self.finish(0.0)

    def reply(self, line: bytes) -> bool:
        """Answer one line; True when it was the last. A failure ends the sandbox and is told as `{"error": text}`."""
        try:
            answer, fds, last = self.answer(line)
        except OSError as error:
            self.finish(0.0)
            answer, fds, last = {"error": str(error)}, [], True
        try:
            socket.send_fds(self.control, [json.dumps(answer).encode() + b"\n"], fds)
        except OSError:
            return last
        finally:
            for fd in fds:
                os.close(fd)
        return last


def main(argv: list[str]) -> None:
    """Arguments: pid of the harness, then descriptors of the control socket, status pipe, stdin, stdout, stderr."""
    harness, control, status, *stdio = (int(arg) for arg in argv)
    for fd in (control, status, *stdio):
        os.set_inheritable(fd, False)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    Warden(harness, socket.socket(fileno=control), status, dict(enumerate(stdio))).serve()
