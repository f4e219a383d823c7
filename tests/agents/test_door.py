"""What an agent's network condition lets through: names, addresses, and real connections from a real sandbox."""

import dataclasses
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from inferencebench.agents import network
from inferencebench.agents.contract import SolveSession
from inferencebench.agents.network import REGISTRIES, Rules, Target, read_head
from inferencebench.agents.script import ScriptAgent
from inferencebench.run.clock import Clock
from inferencebench.run.spec import Net
from inferencebench.sandbox import registry
from inferencebench.sandbox.contract import Mount, SandboxSpec
from inferencebench.sandbox.environment import engine_view
from inferencebench.suites.load import load


def test_requests_for_a_proxy_are_told_from_others() -> None:
    assert read_head(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n") is None
    assert read_head(b"CONNECT pypi.org:443 HTTP/1.1\r\n\r\n") == Target("pypi.org", 443, b"", tunnel=True)
    assert read_head(b"CONNECT [::1]:443 HTTP/1.1\r\n\r\n") == Target("::1", 443, b"", tunnel=True)
    head = b"POST http://a.b/c?d=e HTTP/1.1\r\nHost: a.b\r\nProxy-Connection: keep-alive\r\nA: b\r\n\r\n"
    sent = b"POST /c?d=e HTTP/1.1\r\nHost: a.b\r\nA: b\r\nConnection: close\r\n\r\n"
    assert read_head(head) == Target("a.b", 80, sent, tunnel=False)
    for bad in (b"\r\n\r\n", b"GET\r\n\r\n", b"CONNECT x HTTP/1.1\r\n\r\n"):
        with pytest.raises(ValueError):
            read_head(bad)


@pytest.mark.parametrize(
    ("net", "host", "port", "passes"),
    [
        ("open", "example.org", 443, True), ("open", "example.org", 80, True), ("open", "example.org", 22, False),
        ("mirror", REGISTRIES[0], 443, True), ("mirror", "PyPI.org.", 443, True), ("mirror", "example.org", 443, False),
        ("mirror", "pypi.org.example.org", 443, False), ("none", "pypi.org", 443, False),
    ],
)  # fmt: skip
def test_names_and_ports(net: Net, host: str, port: int, passes: bool) -> None:
    assert (Rules(net).refusal(Target(host, port, b"", tunnel=True)) is None) == passes


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.8.8.8", "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
     "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "name"],
)  # fmt: skip
def test_addresses_that_are_not_the_public_web(address: str) -> None:
    assert not Rules("open").public(address)


def test_addresses_of_this_host_are_not_the_public_web(monkeypatch: pytest.MonkeyPatch) -> None:
    row = next(iter(psutil.net_if_addrs().values()))[0]
    rows = {"eth9": [row._replace(address="93.184.216.1"), row._replace(address="2600::1%eth9")]}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: rows)
    assert not Rules("open").public("93.184.216.1")
    assert not Rules("open").public("2600::1")
    assert Rules("open").public("93.184.216.34")
    assert Rules("open").public("2600::2")


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server on an address that is taken for a public one; says where it was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            body = f"{self.path} {self.headers.get('proxy-authorization')}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.2", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(network, "WEB_PORTS", (80, server.server_port))
    monkeypatch.setattr(network.Rules, "public", lambda self, address: address == "127.0.0.2")
    yield server.server_port
    server.shutdown()
    server.server_close()


ASK = """
import http.client, os, sys, urllib.request
port = int(sys.argv[1])
def attempt(ask):
    try:
        return ask()
    except Exception as error:
        return str(error)
def tunnel(host):
    door = http.client.HTTPConnection("127.0.0.1", 4180, timeout=10)
    door.set_tunnel(host, port)
    door.request("GET", "/tunnel")
    return door.getresponse().read().decode()
def plain(host):
    return urllib.request.urlopen(f"http://{host}:{port}/plain?a=b", timeout=10).read().decode()
def direct():
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.2:{port}/", timeout=5)
for ask in (lambda: plain("127.0.0.2"), lambda: tunnel("127.0.0.2"), lambda: tunnel("127.0.0.3"), direct):
    print(attempt(ask))
"""


def solve(tmp_path: Path, net: Net, port: int) -> tuple[list[str], list[dict[str, Any]]]:
    """What a script inside reached: its four lines, and the log of the door."""
    for part in ("agent", "workspace/submission", "logs"):
        (tmp_path / part).mkdir(parents=True)
    (tmp_path / "agent/ask.py").write_text(ASK)
    (tmp_path / "agent/solve.sh").write_text(f'"$IB_PYTHON" -I agent/ask.py {port}')
    view = engine_view()
    mounts = (*view.mounts, Mount(tmp_path / "workspace", "/workspace", writable=True))
    spec = SandboxSpec(cwd="/workspace", mounts=mounts, masked=view.masked, env=view.env)
    suite = load("laptop")
    session = SolveSession(
        suite, suite.scenarios[0], tmp_path / "workspace", Clock(30), registry.get(), spec, tmp_path / "logs"
    )
    ended = ScriptAgent(str(tmp_path / "agent")).solve(dataclasses.replace(session, net=net))
    assert (ended.how, ended.exit_code, ended.survivors) == ("finished", 0, ())
    log = tmp_path / "logs/network.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return (tmp_path / "logs/stdout.log").read_text().splitlines(), rows


def test_the_web_is_reached_through_the_door_alone_and_logged(tmp_path: Path, web: int) -> None:
    lines, rows = solve(tmp_path, "open", web)
    assert lines[:2] == ["/plain?a=b None", "/tunnel None"]
    assert "403" in lines[2]
    assert "refused" in lines[3]  # no server of the host's is reached past the door
    assert [(r["host"], r["refused"], r["error"]) for r in rows] == [
        ("127.0.0.2", None, None), ("127.0.0.2", None, None), ("127.0.0.3", "no public address of that name", None),
    ]  # fmt: skip
    assert all(row["received_bytes"] > 20 and row["sent_bytes"] > 20 for row in rows[:2])


def test_a_mirror_lets_registries_through_and_nothing_else(tmp_path: Path, web: int) -> None:
    lines, rows = solve(tmp_path, "mirror", web)
    assert [("403" in line) for line in lines[:3]] == [True] * 3
    assert {row["refused"] for row in rows} == {"only package registries are let through in this run"}


def test_without_a_network_there_is_no_door(tmp_path: Path, web: int) -> None:
    lines, rows = solve(tmp_path, "none", web)
    assert all("refused" in line for line in lines)
    assert rows == []
