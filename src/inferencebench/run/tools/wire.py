"""HTTP to the harness over its unix socket."""

import http.client
import os
import socket


class Harness(http.client.HTTPConnection):
    """A connection to the evaluation service named by `$IB_SOCKET`."""

    def __init__(self) -> None:
        super().__init__("harness")

    def connect(self) -> None:
        """Open the unix socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(os.environ["IB_SOCKET"])


def call(method: str, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
    """One request; the response may still be streaming."""
    connection = Harness()
    connection.request(method, path, body, {"Content-Type": "application/json"})
    return connection.getresponse()
