"""What of the network an agent's run may reach, as data and rules; see `door.py` for who asks."""

import ipaddress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil

from inferencebench.run.spec import Net

REGISTRIES = (
    "pypi.org", "files.pythonhosted.org", "download.pytorch.org", "download-r2.pytorch.org", "wheels.vllm.ai",
    "registry.npmjs.org", "conda.anaconda.org", "crates.io", "index.crates.io", "static.crates.io",
    "deb.debian.org", "security.debian.org", "archive.ubuntu.com", "security.ubuntu.com", "ports.ubuntu.com",
)  # fmt: skip
"""What `mirror` lets through."""
WEB_PORTS = (80, 443)
NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
        "::/127", "::ffff:0:0/96", "64:ff9b::/32", "fc00::/7", "fe80::/10", "ff00::/8",
    )
)  # fmt: skip
"""This host, its neighbours, a cloud's metadata service, and addresses that stand for IPv4 ones (RFC 6890)."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
HOP_HEADERS = (b"proxy-", b"connection:", b"keep-alive:")


class Target(NamedTuple):
    """Where a request wants to go, and what is sent there first."""

    host: str
    port: int
    first: bytes
    tunnel: bool


class Rules:
    """Which connections a network condition allows."""

    def __init__(self, net: Net) -> None:
        self._net = net
        rows = (row for rows in psutil.net_if_addrs().values() for row in rows)
        self._own = {ip for row in rows if (ip := _address(row.address))}

    def refusal(self, target: Target) -> str | None:
        """Why a target is not let through, by its name and port; None: it is."""
        if self._net == "none":
            return "there is no network in this run"
        if target.port not in WEB_PORTS:
            return f"only ports {WEB_PORTS[0]} and {WEB_PORTS[1]} are let through"
        if self._net == "mirror" and target.host.lower().rstrip(".") not in REGISTRIES:
            return "only package registries are let through in this run"
        return None

    def public(self, address: str) -> bool:
        """Whether an address is one of the public web: not of this host, and not of a private network."""
        ip = _address(address)
        return ip is not None and ip not in self._own and not any(ip in network for network in NOT_PUBLIC)


def environment(net: Net, port: int) -> dict[str, str]:
    """Variables by which programs inside find the web proxy; none where there is none."""
    if net == "none":
        return {}
    url = f"http://127.0.0.1:{port}"
    found = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), url)
    found |= dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    if CERTIFICATES.exists():  # the host's own authorities, which a Python or Node.js of its own does not know
        names = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
        found |= dict.fromkeys(names, str(CERTIFICATES))
    return found


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def read_head(head: bytes) -> Target | None:
    """What a proxy request asks for; None: it is an ordinary request, for the door itself.

    Raises ValueError for what is no request."""
    line, _, rest = head.partition(b"\r\n")
    method, target, version = line.decode("latin-1").split(" ")
    if method == "CONNECT":
        host, _, port = target.rpartition(":")
        return Target(host.strip("[]"), int(port), b"", tunnel=True)
    if not target.lower().startswith("http://"):
        return None
    url = urlsplit(target)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    kept = [h for h in rest.split(b"\r\n") if h and not h.lower().startswith(HOP_HEADERS)]
    lines = [f"{method} {path} {version}".encode("latin-1"), *kept, b"Connection: close", b"", b""]
    return Target(url.hostname or "", url.port or 80, b"\r\n".join(lines), tunnel=False)
