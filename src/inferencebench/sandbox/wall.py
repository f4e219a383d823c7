"""A wall for root where bubblewrap is not installed: it understands the part of bubblewrap's options that we use.

Run with `python -I -S`, standard library only, by the warden. `--info-fd N --args N -- COMMAND…`: reads options
separated by zero bytes from the descriptor `--args`, makes namespaces for users, processes, network, mounts, IPC and
host name, builds a root file system of bind mounts, drops every capability, and runs the command as user 1000 below a
first process that reaps orphans. The first process's host pid goes to `--info-fd` as bubblewrap's does.
"""

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

CLONE = {"user": 0x10000000, "pid": 0x20000000, "net": 0x40000000, "mount": 0x20000, "ipc": 0x8000000, "uts": 0x4000000}
RDONLY, NOSUID, NODEV, REMOUNT, BIND, REC, PRIVATE = 0x1, 0x2, 0x4, 0x20, 0x1000, 0x4000, 0x40000
KEPT = {"nosuid": 0x2, "nodev": 0x4, "noexec": 0x8, "noatime": 0x400, "nodiratime": 0x800, "relatime": 0x200000}
"""Flags that a remount in a user namespace must not lose."""
DETACH = 2
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP = 1, 38, 24
LAST_CAP = 40
CAPABILITY_VERSION = 0x20080522
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
GATE_FDS, MAX_FD = 5, 256
"""The command's first program uses the descriptors below the first; ours are above."""
USER = 1000
HOSTNAME = "sandbox"
OLD, NEW = "/old", "/new"
NODES = ("null", "zero", "full", "random", "urandom", "tty")
ESCAPES = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}
"""Of mountinfo. By hand: the codecs of Python lie on the host's side once the root has changed."""
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]


def check(result: int, what: str) -> None:
    """Raise OSError, naming what failed, when a libc call gave -1."""
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    encoded = [None if text is None else text.encode() for text in (source, target, kind, data)]
    check(_libc.mount(encoded[0], encoded[1], encoded[2], flags, encoded[3]), f"mount {target}")


def pivot(new: str, old: str) -> None:
    """pivot_root(2), which libc does not wrap."""
    check(_libc.syscall(PIVOT_ROOT[os.uname().machine], new.encode(), old.encode()), "pivot_root")


def mounts_below(path: str) -> list[tuple[str, int]]:
    """Mount points at and below `path`, each with the flags that must stay."""
    found = []
    for line in Path(f"{OLD}/proc/self/mountinfo").read_text().split("\n"):
        fields = line.split()
        if len(fields) > 5:
            point = fields[4]
            for escaped, character in ESCAPES.items():
                point = point.replace(escaped, character)
            if point == path or point.startswith(f"{path}/"):
                found.append((point, sum(KEPT.get(option, 0) for option in fields[5].split(","))))
    return found


def inside(path: str) -> str:
    """Where a path of the sandbox is while it is being built."""
    return NEW + path.rstrip("/")


def place(target: str, like: str) -> None:
    """Make a mount point of the kind of `like`."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.isdir(like):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))


def remount_read_only(path: str) -> None:
    """Make everything mounted at and below `path` read-only; not what an earlier mount there covers."""
    mounts = mounts_below(path)
    newest = max(index for index, (point, _) in enumerate(mounts) if point == path)
    for point, flags in mounts[newest:]:
        mount(None, point, None, REMOUNT | BIND | RDONLY | flags)


class Builder:
    """Carries out the options, in order."""

    def __init__(self) -> None:
        self.env: dict[str, str] = {}
        self.cwd = "/"
        self._perms, self._size = 0o755, 0

    def bind(self, source: str, target: str, *, read_only: bool = True, optional: bool = False) -> None:
        """A host path at a path of the sandbox."""
        host, to = OLD + source, inside(target)
        if optional and not os.path.exists(host):
            return
        place(to, host)
        mount(host, to, None, BIND | REC)
        if read_only:
            remount_read_only(os.path.realpath(to))

    def tmpfs(self, target: str) -> None:
        """An empty file system in memory, of the size and mode said before."""
        to = inside(target)
        os.makedirs(to, exist_ok=True)
        data = f"mode={self._perms:o}" + (f",size={self._size}" if self._size else "")
        mount("tmpfs", to, "tmpfs", NOSUID | NODEV, data)
        self._perms, self._size = 0o755, 0

    def dev(self, target: str) -> None:
        """A minimal /dev."""
        to = inside(target)
        os.makedirs(to, exist_ok=True)
        mount("tmpfs", to, "tmpfs", NOSUID, "mode=755")
        for node in NODES:
            place(f"{to}/{node}", "/nowhere")
            mount(f"{OLD}/dev/{node}", f"{to}/{node}", None, BIND)
        for name in ("pts", "shm"):
            os.mkdir(f"{to}/{name}")
        mount("devpts", f"{to}/pts", "devpts", NOSUID, "newinstance,ptmxmode=0666,mode=620")
        for name, link in {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "core": "/proc/kcore"}.items():
            os.symlink(link, f"{to}/{name}")
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            os.symlink(f"/proc/self/fd/{number}", f"{to}/{name}")

    def proc(self, target: str) -> None:
        """The processes of this sandbox."""
        os.makedirs(inside(target), exist_ok=True)
        mount("proc", inside(target), "proc", NOSUID | NODEV | KEPT["noexec"])

    def symlink(self, link: str, target: str) -> None:
        """A symbolic link."""
        os.makedirs(os.path.dirname(inside(target)), exist_ok=True)
        os.symlink(link, inside(target))

    def run(self, options: Sequence[str]) -> None:
        """All options. OSError when one cannot be carried out, ValueError for one that is not known."""
        table: dict[str, tuple[int, Callable[..., None]]] = {
            "--clearenv": (0, self.env.clear),
            "--setenv": (2, self.env.__setitem__),
            "--ro-bind": (2, self.bind),
            "--ro-bind-try": (2, lambda s, t: self.bind(s, t, optional=True)),
            "--bind": (2, lambda s, t: self.bind(s, t, read_only=False)),
            "--dev-bind": (2, lambda s, t: self.bind(s, t, read_only=False)),
            "--symlink": (2, self.symlink),
            "--dir": (1, lambda t: os.makedirs(inside(t), exist_ok=True)),
            "--tmpfs": (1, self.tmpfs),
            "--proc": (1, self.proc),
            "--dev": (1, self.dev),
            "--perms": (1, lambda mode: setattr(self, "_perms", int(mode, 8))),
            "--size": (1, lambda size: setattr(self, "_size", int(size))),
            "--remount-ro": (1, lambda t: self.freeze(t)),
            "--chdir": (1, lambda t: setattr(self, "cwd", t)),
        }
        at = 0
        while at < len(options):
            if options[at] not in table:
                raise ValueError(f"option {options[at]} is not known")
            count, action = table[options[at]]
            action(*options[at + 1 : at + 1 + count])
            at += 1 + count

    def freeze(self, target: str) -> None:
        """Make one mount read-only, not what is mounted below it."""
        path = inside(target)
        for point, flags in mounts_below(path):
            if point == path:
                mount(None, point, None, REMOUNT | BIND | RDONLY | flags)


def enter(user: int, group: int) -> None:
    """New namespaces, with our user as USER inside."""
    check(_libc.unshare(sum(CLONE.values())), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{USER} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{USER} {group} 1")


def loopback_up() -> None:
    """The only network device there is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def build(options: Sequence[str]) -> Builder:
    """The root file system; afterwards nothing of the host's is left."""
    mount(None, "/", None, PRIVATE | REC)
    mount("tmpfs", "/tmp", "tmpfs", NOSUID | NODEV, "mode=755")
    os.mkdir(f"/tmp{OLD}")
    os.mkdir(f"/tmp{NEW}")
    pivot("/tmp", f"/tmp{OLD}")
    os.chdir("/")
    mount("tmpfs", NEW, "tmpfs", NOSUID | NODEV, "mode=755")
    builder = Builder()
    builder.run(options)
    os.chdir(NEW)
    pivot(".", ".")
    check(_libc.umount2(b".", DETACH), "umount")
    os.chdir("/")
    return builder


def confine() -> None:
    """No further user namespaces below ours."""
    Path("/proc/sys/user/max_user_namespaces").write_text("0")


def forbid() -> None:
    """No capability, now or after any exec."""
    for capability in range(LAST_CAP + 1):
        _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    check(_libc.capset(struct.pack("Ii", CAPABILITY_VERSION, 0), bytes(24)), "capset")


def first(options: Sequence[str], command: Sequence[str]) -> int:
    """The first process: builds, starts the command, and reaps until it ends."""
    check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    loopback_up()
    socket.sethostname(HOSTNAME)
    # A read-only /proc refuses the limit later, so it is set while the mounts are made.
    builder = build(options)
    os.chdir(builder.cwd)
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            os.closerange(GATE_FDS, MAX_FD)
            forbid()
            os.execvpe(command[0], list(command), builder.env)
        except OSError as error:
            os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127)
    os.closerange(3, MAX_FD)
    forbid()
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def main(arguments: Sequence[str]) -> int:
    """Exit code: the command's, 128 + signal if one ended it."""
    split = list(arguments).index("--")
    values = dict(zip(arguments[:split:2], arguments[1:split:2], strict=True))
    info, args = int(values["--info-fd"]), int(values["--args"])
    data = b""
    while block := os.read(args, 1 << 16):
        data += block
    options = [part.decode() for part in data.split(b"\0")[:-1]]
    user, group = os.getuid(), os.getgid()
    check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    try:
        enter(user, group)
        confine()
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(first(options, arguments[split + 1 :]))
            except (OSError, ValueError) as error:
                os.write(2, f"wall: {error}\n".encode())
                os._exit(1)
    except OSError as error:
        os.write(2, f"wall: {error}\n".encode())
        return 1
    os.write(info, json.dumps({"child-pid": pid}).encode())
    os.close(info)
    for fd in (0, 3, 4, args):
        os.close(fd)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
