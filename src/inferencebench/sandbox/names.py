"""What a network without a way out shows of whom a program wanted to reach. Standard library only, for the warden.

A name server that knows nobody remembers who was asked for. A connection to a bare address fails at once, since there
is no route; the kernel does not tell the address, but it counts.
"""

import socket

PORT = 53
MAX_NAMES = 200
MORE = "(more names)"
"""Stands for every name after the first MAX_NAMES: an overflow is seen."""
MAX_BYTES = 512
HEADER = 12
NO_SUCH_NAME = b"\x81\x83"
"""Flags of an answer: recursion was available, the name does not exist."""


def unrouted() -> int | None:
    """How often something of this process's network was to be sent where no route leads; None: not counted here.

    `OutNoRoutes` of IPv4 and IPv6 (RFC 4293): one for each refused connection or datagram."""
    try:
        with open("/proc/self/net/snmp") as file:
            names, values = [line.split() for line in file if line.startswith("Ip:")]
        total = int(dict(zip(names, values, strict=True))["OutNoRoutes"])
        with open("/proc/self/net/snmp6") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("Ip6OutNoRoutes"))
    except (OSError, ValueError, KeyError):
        return None
    return total


class NameSink:
    """Answers every question with "no such name" and keeps the first MAX_NAMES different names."""

    def __init__(self) -> None:
        """Bind to the loopback of the namespace that this process is in. OSError where that is not allowed."""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(("127.0.0.1", PORT))
        self.names: dict[str, int] = {}
        """How often each name was asked for."""

    def answer(self) -> None:
        """Read and answer what is there."""
        while True:
            try:
                question, sender = self.socket.recvfrom(MAX_BYTES)
            except OSError:
                return
            found = name_of(question)
            if found is None:
                continue
            name, end = found
            known = name if name in self.names or len(self.names) < MAX_NAMES else MORE
            self.names[known] = self.names.get(known, 0) + 1
            counts = b"\x00\x01" + bytes(6)
            reply = question[:2] + NO_SUCH_NAME + counts + question[HEADER:end]
            try:
                self.socket.sendto(reply, sender)
            except OSError:
                continue


def name_of(question: bytes) -> tuple[str, int] | None:
    """The name a DNS question asks for (RFC 1035, 4.1.2), and where the question ends; None for anything else."""
    labels: list[str] = []
    at = HEADER
    while at < len(question):
        size = question[at]
        if size == 0:
            end = at + 5
            return (".".join(labels), end) if labels and end <= len(question) else None
        if size > 63 or at + 1 + size > len(question):
            return None
        label = question[at + 1 : at + 1 + size].decode("ascii", "replace").lower()
        labels.append("".join(c if c.isalnum() or c in "-_" else "?" for c in label))
        at += 1 + size
    return None
