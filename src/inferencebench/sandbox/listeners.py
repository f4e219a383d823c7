"""Who listens on a TCP port of the host: the proof that a server is ours where there is no network of its own."""

import contextlib
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

TCP_LISTEN = 10
"""State of a listening socket (include/net/tcp_states.h)."""
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
REQUEST_DUMP = 0x301
DONE = 3


def listening_inodes(port: int) -> set[int]:
    """Socket inodes that listen on `port`, on whatever address, IPv4 and IPv6.

    Asked from the kernel by sock_diag(7), which looks at listeners alone; /proc/net/tcp, the way out on kernels without
    it, walks every connection of the host, which takes tens of milliseconds on a busy one."""
    try:
        return {inode for family in (socket.AF_INET, socket.AF_INET6) for inode in _by_netlink(family, port)}
    except OSError:
        return listening_inodes_by_proc(port)


def _by_netlink(family: int, port: int) -> set[int]:
    """The same for one address family. OSError where the kernel cannot tell."""
    found: set[int] = set()
    # struct nlmsghdr and struct inet_diag_req_v2 (include/uapi/linux/inet_diag.h), all addresses and ports.
    request = struct.pack("=IHHII", 72, SOCK_DIAG_BY_FAMILY, REQUEST_DUMP, 1, 0)
    request += struct.pack("=BBBBI48x", family, socket.IPPROTO_TCP, 0, 0, 1 << TCP_LISTEN)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as sock:
        sock.settimeout(1.0)
        sock.send(request)
        while True:
            data = sock.recv(1 << 16)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == DONE:
                    return found
                if kind != SOCK_DIAG_BY_FAMILY:
                    raise OSError("the kernel does not tell its listeners")
                if struct.unpack_from("!H", data, 16 + 4)[0] == port:
                    found.add(struct.unpack_from("=I", data, 16 + 68)[0])
                data = data[(length + 3) & ~3 :]


def listening_inodes_by_proc(port: int) -> set[int]:
    """The same, read from /proc."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            fields = line.split()
            if int(fields[3], 16) == TCP_LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(int(fields[9]))
    return found


def socket_inodes(pids: Iterable[int]) -> set[int]:
    """Inodes of all sockets that these processes hold open."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    link = os.readlink(entry.path)
                    if link.startswith("socket:["):
                        found.add(int(link[8:-1]))
    return found


class PortOwner:
    """Decides for one port whether its listeners belong to a changing set of processes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._known: set[int] = set()

    def owned(self, pids: Callable[[], Iterable[int]]) -> bool | None:
        """True: somebody listens, and every listener is one of `pids`; False: a foreign process listens; None: nobody.

        All listeners must be ours, since with SO_REUSEPORT the kernel may choose any of them. Processes are looked
        through only for a listener not seen before, so that later connections are not delayed."""
        if sys.platform != "linux":
            return self._owned_by_psutil(pids)
        listening = listening_inodes(self._port)
        if not listening:
            return None
        if not listening <= self._known:
            self._known = socket_inodes(pids())
        return listening <= self._known

    def _owned_by_psutil(self, pids: Callable[[], Iterable[int]]) -> bool | None:
        """Without /proc other users' listeners cannot be seen: ours must be there, and the port was free before."""
        import psutil

        for pid in pids():
            with contextlib.suppress(psutil.Error):
                for connection in psutil.Process(pid).net_connections(kind="tcp"):
                    if connection.status == psutil.CONN_LISTEN and connection.laddr.port == self._port:
                        return True
        return None
