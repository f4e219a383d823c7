"""`measure` over https: a certificate of one's own, one that nobody trusts, and none checked."""

import asyncio
import json
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
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
    with MockServer(MockConfig(0.03, 0.002)) as mock, front(context, mock.port) as port:
        yield Secure(f"https://localhost:{port}", certificate)


@contextmanager
def front(context: ssl.SSLContext, port: int) -> Iterator[int]:
    """A TLS relay to `port` on a port of its own. One thread does it all: two must never use one TLS connection."""

    async def relay(inward: asyncio.StreamReader, outward: asyncio.StreamWriter) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(inward, writer), copy(reader, outward))

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(relay, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Hand bytes on until their side has ended or either has gone away."""
    with suppress(OSError), closing(target):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()


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
