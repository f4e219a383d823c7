"""`measure` over https: a certificate of one's own, one that nobody trusts, and none checked."""

import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from inferencebench.load.mock import MockConfig, MockServer

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")


class Secure(NamedTuple):
    """A TLS front of the mock server."""

    url: str
    certificate: Path


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Secure]:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    argv += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*argv, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with MockServer(MockConfig(0.03, 0.002)) as mock, socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener, context, mock.port), daemon=True).start()
        yield Secure(f"https://localhost:{listener.getsockname()[1]}", certificate)


def accept(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    """Unwrap each connection and hand its bytes on, until the listener is closed."""
    while True:
        try:
            outside, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=relay, args=(outside, context, port), daemon=True).start()


def relay(outside: socket.socket, context: ssl.SSLContext, port: int) -> None:
    try:
        with (
            context.wrap_socket(outside, server_side=True) as secure,
            socket.create_connection(("127.0.0.1", port)) as to,
        ):
            back = threading.Thread(target=copy, args=(to, secure), daemon=True)
            back.start()
            copy(secure, to)
            back.join()
    except OSError:
        return


def copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass


def measure(url: str, tmp_path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    requests = tmp_path / "mine.jsonl"
    requests.write_text(json.dumps({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}) + "\n")
    argv = [sys.executable, "-m", "inferencebench", "measure", url, "--requests", str(requests), "--json", *more]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("how", ["--cacert", "--insecure"])
def test_measures_over_tls(secure: Secure, tmp_path: Path, how: str) -> None:
    done = measure(secure.url, tmp_path, *([how, str(secure.certificate)] if how == "--cacert" else [how]))
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["valid"], record["invalid_reasons"]
    assert record["client"].endswith("user-stamps")


def test_an_unknown_certificate_is_refused_in_one_line(secure: Secure, tmp_path: Path) -> None:
    done = measure(secure.url, tmp_path)
    assert done.returncode == 3
    assert "certificate is not trusted" in done.stderr
    assert "--cacert" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_file_without_certificates_is_bad_input(secure: Secure, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    done = measure(secure.url, tmp_path, "--cacert", str(empty))
    assert done.returncode == 2
    assert "no certificates in PEM form" in done.stderr
