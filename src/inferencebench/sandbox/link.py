"""The harness's end of a warden: one running sandbox, whatever the back end."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import inferencebench
from inferencebench.errors import InfrastructureError
from inferencebench.sandbox import tree
from inferencebench.sandbox.contract import KillReport
from inferencebench.sandbox.removal import remove_tree
from inferencebench.sandbox.warden import BOOT, SETUP_TIMEOUT_S, Order

WARDEN_END_S = 2 * tree.KILL_TIMEOUT_S
"""How long a warden may take to end a sandbox, beside the grace."""

CLEANUP_S = 2.0
"""How long a container's monitor, which nobody waits for when the warden is gone, may go on using private files."""

CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
"""Received descriptors are closed in the programs we start (Linux sets it with the receipt, without a race)."""


class WardenLink:
    """A warden process and the sandbox it keeps. Every method may be called from any thread."""

    def __init__(self, order: Order, stdout: IO[bytes], stderr: IO[bytes]) -> None:
        """Start the warden and the command. InfrastructureError when the sandbox cannot be set up."""
        self._lock = threading.Lock()
        self._status_lock = threading.Lock()
        self._code: int | None = None
        self._report: KillReport | None = None
        self._namespace_fd: int | None = None
        self._gateway: socket.socket | None = None
        self._scratch = order.scratch
        self._control, theirs = socket.socketpair()
        self._control.settimeout(2 * SETUP_TIMEOUT_S)
        self._status, status_w = os.pipe()
        os.set_blocking(self._status, False)
        self._process = self._launch(theirs, status_w, stdout, stderr)
        try:
            answer, fds = self._request(order._asdict())
        except OSError as error:
            self._close()
            raise InfrastructureError(f"sandbox: the helper process ended before it answered: {error}") from None
        if "error" in answer:
            self._close()
            raise InfrastructureError(f"sandbox: could not be set up: {answer['error']}")
        self.pid: int = answer["pid"]
        self.init: int | None = answer["init"]
        self.namespace: int = answer["namespace"]
        # An open descriptor keeps the namespace's number from being given to another sandbox before the last check.
        self._namespace_fd = fds.pop(0) if self.init is not None else None
        self._gateway = socket.socket(fileno=fds.pop()) if fds else None

    def _launch(
        self, theirs: socket.socket, status: int, stdout: IO[bytes], stderr: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        with open(os.devnull, "rb") as null:
            fds = [theirs.fileno(), status, null.fileno(), stdout.fileno(), stderr.fileno()]
            package = Path(inferencebench.__file__).parent
            command = [sys.executable, "-I", "-S", "-B", "-c", BOOT, str(package.parent), str(os.getpid())]
            command += map(str, fds)
            try:
                return subprocess.Popen(
                    command, stdin=null, stdout=null, pass_fds=fds, env={}, cwd="/", start_new_session=True
                )
            except OSError as error:
                self._control.close()
                os.close(self._status)
                raise InfrastructureError(f"sandbox: cannot start the helper process: {error}") from None
            finally:
                theirs.close()
                os.close(status)

    def _request(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        """One question and its answer. OSError when the warden is gone."""
        self._control.sendall(json.dumps(message).encode() + b"\n")
        buffer, fds = b"", []
        while not buffer.endswith(b"\n"):
            data, passed, _, _ = socket.recv_fds(self._control, 1 << 16, 4, CLOEXEC)
            fds += passed
            if not data:
                raise ConnectionError("the sandbox's helper process is gone")
            buffer += data
        return json.loads(buffer), fds

    def poll(self) -> int | None:
        """Exit code of the command, None while it runs, -9 when the warden itself was killed (all ends with it)."""
        with self._status_lock:
            if self._code is None:
                with contextlib.suppress(BlockingIOError):
                    self._code = int(os.read(self._status, 16) or self._orphaned())
            return self._code

    def _orphaned(self) -> bytes:
        """The warden was killed: its sandbox ends with it. (bubblewrap sees to that itself, containers do not.)"""
        if self.init is not None and tree.namespace_members(self.namespace, self.init):
            tree.send([self.init], signal.SIGKILL)
        return b"-9"

    def members(self) -> list[int]:
        """Host pids of the living processes inside."""
        if self._report is not None:
            return list(self._report.survivors)
        if self.init is not None:
            return tree.namespace_members(self.namespace, self.init)
        return tree.descendants(self._process.pid)

    def new_socket(self) -> socket.socket:
        """An unconnected TCP socket of the sandbox's network. ConnectionError when the sandbox has ended."""
        with self._lock:
            if self._report is not None:
                raise ConnectionRefusedError("the sandbox has ended")
            try:
                _, fds = self._request({"do": "socket"})
            except OSError as error:
                raise ConnectionRefusedError(f"the sandbox has ended: {error}") from None
        return socket.socket(fileno=fds[0])

    def take_gateway(self) -> socket.socket:
        """The harness's listening socket inside. InfrastructureError when there is none, or it was taken."""
        with self._lock:
            listener, self._gateway = self._gateway, None
        if listener is None:
            raise InfrastructureError("sandbox: no gateway was asked for, or it was taken")
        return listener

    def terminate(self, grace_s: float) -> KillReport:
        """End everything, then look with our own eyes. Idempotent."""
        with self._lock:
            if self._report is None:
                names, unrouted = self._asked()
                killed, survivors = self._end(grace_s)
                self.poll()
                self._close()
                self._report = KillReport(tuple(survivors), killed, names, unrouted)
            return self._report

    def unrouted(self) -> int | None:
        """How often something inside was to go where no route leads; None where nobody counts."""
        with self._lock:
            return self._report.unrouted if self._report is not None else self._asked()[1]

    def _asked(self) -> tuple[tuple[str, ...] | None, int | None]:
        """Host names that were asked for inside, and `unrouted`; None where nobody looks, or the warden is gone."""
        try:
            answer = self._request({"do": "names"})[0]
        except (OSError, ValueError):
            return None, None
        names = answer.get("names")
        return None if names is None else tuple(map(str, names)), answer.get("unrouted")

    def _end(self, grace_s: float) -> tuple[int, list[int]]:
        """How many were killed and who survived."""
        self._control.settimeout(grace_s + WARDEN_END_S)
        try:
            ended = tree.Ended(**self._request({"do": "end", "grace_s": grace_s})[0])
        except (OSError, TypeError):
            return self._end_without_warden()
        if self.init is None:
            return ended.killed, ended.survivors
        return ended.killed, self._wait_empty()

    def _end_without_warden(self) -> tuple[int, list[int]]:
        """The warden was killed or hangs: the namespace's first process is ours to kill; a bare tree is unknown."""
        if self.init is None:
            return 0, tree.descendants(self._process.pid)
        alive = self.members()
        if alive:
            tree.send([self.init], signal.SIGKILL)
        left = self._wait_empty()
        deadline = time.monotonic() + CLEANUP_S
        while self._scratch and time.monotonic() < deadline:
            for path in self._scratch:
                remove_tree(path)
            time.sleep(0.1)
        return len(alive), left

    def _wait_empty(self) -> list[int]:
        """Members left in the namespace; looks again for a moment, as the dying are seen until their end."""
        deadline = time.monotonic() + 2
        while (alive := tree.namespace_members(self.namespace, 0)) and time.monotonic() < deadline:
            time.sleep(0.005)
        return alive

    def _close(self) -> None:
        """Release the warden, the sockets and the namespace."""
        self._control.close()
        try:
            self._process.wait(timeout=WARDEN_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._namespace_fd is not None:
            os.close(self._namespace_fd)
            self._namespace_fd = None
        if self._gateway is not None:
            self._gateway.close()
            self._gateway = None
        with self._status_lock:
            os.close(self._status)
            self._code = -9 if self._code is None else self._code
