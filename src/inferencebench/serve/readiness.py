"""The question whether a server is ready: `GET /v1/models` over a socket that the sandbox handed out."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

LOOK_S = 1.5
"""Longest time for one question, so that a server that stalls its answer cannot hide its own end."""
ANSWER_BYTES = 1 << 20


class Ready(NamedTuple):
    """A server that answers."""

    seconds: float
    """From the start of the command to this answer."""
    models: tuple[str, ...]
    """Model ids it names."""


class NotAServerError(Exception):
    """What listens does not speak the OpenAI protocol; the text says what it said instead."""


def ask_models(connect: Callable[[float], socket.socket], deadline: float) -> tuple[str, ...]:
    """The ids that `GET /v1/models` names, within `LOOK_S` and before `deadline` (monotonic seconds).

    Raises OSError when there is no answer yet (refused, reset, HTTP error, no model yet), NotAServerError when there
    is a wrong one."""
    allowed = max(0.05, min(LOOK_S, deadline - time.monotonic()))
    status, body = get(connect, "/v1/models", allowed, ANSWER_BYTES)
    if status != 200:
        raise OSError(f"GET /v1/models answered {status}")
    return model_ids(body)


def get(connect: Callable[[float], socket.socket], path: str, allowed_s: float, most_bytes: int) -> tuple[int, bytes]:
    """Status and body (its first `most_bytes`) of `GET path`, all of it within `allowed_s`.

    Raises OSError when there is no answer, NotAServerError when it is no HTTP."""
    sock = connect(allowed_s)
    # A per-read timeout would let a server drip one byte at a time without end.
    late = threading.Event()
    cut = threading.Timer(allowed_s, _cut, [sock, late])
    cut.daemon = True
    cut.start()
    connection = http.client.HTTPConnection("localhost")
    connection.sock = sock
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        body = response.read(most_bytes)
    except (http.client.RemoteDisconnected, http.client.IncompleteRead) as error:
        raise ConnectionResetError(f"the connection was closed: {error}") from None
    except http.client.HTTPException as error:
        if not late.is_set():
            raise NotAServerError(f"what listens does not speak HTTP: {error!r}") from None
    finally:
        cut.cancel()
        connection.close()
    if late.is_set():
        raise TimeoutError(f"GET {path} was not answered in full within {allowed_s:.1f} s")
    return response.status, body


def model_ids(body: bytes) -> tuple[str, ...]:
    """Ids in the body of an answer. OSError while the list is empty, NotAServerError when it is not such a list."""
    try:
        ids = tuple(model["id"] for model in json.loads(body)["data"])
    except (ValueError, KeyError, TypeError, RecursionError):
        ids = (None,)
    if not all(isinstance(model, str) for model in ids):
        raise NotAServerError(f"GET /v1/models answered {body[:80]!r}, which is not an OpenAI list of models")
    if not ids:
        raise OSError("GET /v1/models names no model")
    return ids


def _cut(sock: socket.socket, late: threading.Event) -> None:
    """End a connection from another thread; its reader sees the end of the stream."""
    late.set()
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
