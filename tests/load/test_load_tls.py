"""TLS goes through the same loop, with user-space stamps."""

import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from load_helpers import plan

from inferencebench.load import client, parse
from inferencebench.load.mock import words
from inferencebench.load.model import Target

EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": " w"}, "finish_reason": null}]}\n\n'
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"


def serve(listener: socket.socket, context: ssl.SSLContext, replies: int) -> None:
    """Answer requests on one connection; each reply is larger than a TLS record."""
    listener.settimeout(30)
    sock, _ = listener.accept()
    with context.wrap_socket(sock, server_side=True) as secure:
        body = EVENT * 500 + b"data: [DONE]\n\n"
        for _ in range(replies):
            request = b""
            while not request.endswith(b"}"):
                received = secure.recv(65536)
                if not received:
                    return
                request += received
            secure.sendall(REPLY % len(body) + body)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program to make a certificate")
@pytest.mark.parametrize("recorder", ["auto", "portable"])
def test_tls(tmp_path: Path, recorder: str) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    argv += ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    trust = ssl.create_default_context(cafile=str(certificate))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=serve, args=(listener, server, 3), daemon=True)
        thread.start()

        def connect() -> socket.socket:
            return trust.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")

        recording = client.run(Target(connect, "localhost"), plan(3, 1, tokens=500, recorder=recorder))
        thread.join(30)
    samples = parse.samples(recording, words)
    assert recording.client.endswith("user-stamps")
    assert [(r.ok, r.counted_tokens) for r in samples.requests] == [(True, 500)] * 3
