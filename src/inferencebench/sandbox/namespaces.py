"""Entering namespaces, and what must be done inside them before the first untrusted instruction (Linux)."""

import ctypes
import fcntl
import os
import signal
import sys

_LIBC = ctypes.CDLL(None, use_errno=True)
"""Loaded before any fork: a child of a program with threads must not wait for the loader's lock."""
PR_SET_PDEATHSIG = 1
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
NS_GET_USERNS = 0xB701
MS_RDONLY, MS_REMOUNT, MS_BIND = 0x1, 0x20, 0x1000
OWN = ("/dev/pts", "/dev/shm")
"""Mounts under /dev that are the sandbox's own file systems, not nodes of the host."""
MOUNT_FLAGS = {"nosuid": 0x2, "noexec": 0x8, "noatime": 0x400, "nodiratime": 0x800, "relatime": 0x200000}

GATE = """printf r >&3
read -r _
exec </dev/null 2>&4 3>&- 4>&-
unset _ PWD
[ -z "$1" ] || ulimit -u "$1" 2>/dev/null || ulimit -p "$1"
shift
exec "$@"
"""
"""First program inside: reports that the walls stand (fd 3), waits until the warden has joined them (stdin), and
becomes the command with its true standard error (fd 4), which until then is a pipe for the sandbox's own complaints.
/dev/null is opened inside, because the host's would let a sandbox of root's change the mode of the host's device.
The process limit is `ulimit -u` in bash and `-p` in dash."""


CONTAINED_FDS = 4
"""Descriptors that a container program hands through: 3 to 6 of the programs below."""
CONTAINED_GATE = """printf r >&3
read -r _ <&6
exec </dev/null >&5 2>&4 3>&- 4>&- 5>&- 6>&-
shift
exec /usr/bin/env -i "$@"
"""
"""The same as GATE in a container, whose program stands between: true output (5) and error (4), and the warden (6).
What follows its first argument is the whole environment, then the command."""
CONTAINED_INIT = 'gate=$1; shift; /bin/sh -c "$gate" sh "$@"; exit $?'
"""First process of a container: it stays, so that the command is not the one whose end the kernel treats apart, and
reaps what the command leaves behind."""


def contained(argv: list[str], env: dict[str, str]) -> list[str]:
    """The command line inside a container that runs `argv` with exactly `env`."""
    pairs = [f"{name}={value}" for name, value in env.items()]
    return ["/usr/bin/env", "-i", "/bin/sh", "-c", CONTAINED_INIT, "sh", CONTAINED_GATE, "go", *pairs, *argv]


def call_libc(name: str, *args: int) -> None:
    """Call a libc function of integers; OSError when it returns -1."""
    if getattr(_LIBC, name)(*args) == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def die_with_parent() -> None:
    """In a child before it runs: SIGTERM when what started it is gone, however it ended. Nothing but on Linux."""
    if sys.platform == "linux":
        call_libc("prctl", PR_SET_PDEATHSIG, signal.SIGTERM)


def join(namespace: int, kind: int) -> None:
    """Enter a namespace; as an ordinary user, the user namespace that owns it first (which gives the right)."""
    try:
        call_libc("setns", namespace, kind)
    except PermissionError:
        owner = fcntl.ioctl(namespace, NS_GET_USERNS)
        call_libc("setns", owner, CLONE_NEWUSER)
        os.close(owner)
        call_libc("setns", namespace, kind)


def protect_devices(init: int) -> None:
    """Make the device nodes inside read-only, which still lets them be written to but not be changed in mode.

    The sandbox of a harness that runs as root runs as root too, seen from outside: without any capability, but as the
    owner of the host's /dev/null and of the GPUs' nodes. (bubblewrap's own read-only mounts forbid devices.)"""
    with open(f"/proc/{init}/mountinfo") as file:
        rows = [line.split() for line in file]
    nodes = {row[4]: row[5].split(",") for row in rows if row[4].startswith("/dev/") and row[4] not in OWN}
    namespace = os.open(f"/proc/{init}/ns/mnt", os.O_RDONLY)
    pid = os.fork()
    if pid == 0:
        try:
            join(namespace, CLONE_NEWNS)
            mount = _LIBC.mount
            mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
            for node, options in nodes.items():
                flags = sum(MOUNT_FLAGS.get(option, 0) for option in options)
                if mount(None, node.encode(), None, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, None) != 0:
                    os._exit(1)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(namespace)
    if os.waitpid(pid, 0)[1] != 0:
        raise OSError("the device nodes inside could not be made read-only; run as an ordinary user")
