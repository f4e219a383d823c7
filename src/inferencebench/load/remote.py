"""A server behind a URL: how the load client reaches it, and what it serves."""

import json
import os
import socket
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from inferencebench.errors import MissingError, UserError
from inferencebench.load.connect import reason
from inferencebench.load.model import Target

if TYPE_CHECKING:
    from http.client import HTTPConnection

_TIMEOUT_S = 10.0
_ENDPOINT = "/chat/completions"
_SCHEMES = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible API. `base` is the path before `/models` and `/chat/completions`."""

    scheme: str
    host: str
    port: int
    base: str
    key: str | None = None
    trust: Path | None = None
    """Certificates (PEM) to trust instead of the system's."""
    verify: bool = True
    """False: any certificate is taken, which proves nothing about who answers."""

    @property
    def url(self) -> str:
        """Without the key."""
        return f"{self.scheme}://{self.authority}{self.base}"

    @property
    def authority(self) -> str:
        """Host and port, as in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _SCHEMES[self.scheme] else f"{host}:{self.port}"

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What every request carries."""
        return () if self.key is None else (("Authorization", f"Bearer {self.key}"),)

    def context(self) -> ssl.SSLContext | None:
        """How TLS is checked; None without TLS. Raises UserError for a file that holds no certificates."""
        if self.scheme != "https":
            return None
        try:
            context = ssl.create_default_context(cafile=None if self.trust is None else str(self.trust))
        except (OSError, ssl.SSLError) as error:
            raise UserError(f"--cacert {self.trust}: no certificates in PEM form ({error})") from None
        if not self.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def target(self) -> Target:
        """For the load client. With https, TLS is set up in `connect`, so that it is part of no latency."""
        context = self.context()

        def connect() -> socket.socket:
            sock = socket.create_connection((self.host, self.port), timeout=_TIMEOUT_S)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock if context is None else context.wrap_socket(sock, server_hostname=self.host)
            except BaseException:
                sock.close()
                raise

        return Target(connect, self.authority, self.base + _ENDPOINT, self.headers)


def endpoint(url: str, key_env: str | None = None, *, trust: Path | None = None, verify: bool = True) -> Endpoint:
    """The API at `url`: a server's root, its `/v1`, or the chat endpoint itself.

    Raises UserError for what is no such URL, MissingError when the environment variable `key_env` is not set.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UserError(f"{url!r} is no URL ({error}); write it as http://127.0.0.1:8000") from None
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise UserError(f"{url!r} is not an http or https URL; write it as http://127.0.0.1:8000")
    if parts.query or parts.fragment or parts.username:
        raise UserError(f"{url!r}: a query, a fragment or a user is not supported; a key goes in --api-key-env")
    base = parts.path.rstrip("/").removesuffix(_ENDPOINT) or "/v1"
    return Endpoint(parts.scheme, parts.hostname, port or _SCHEMES[parts.scheme], base, _key(key_env), trust, verify)


def _key(key_env: str | None) -> str | None:
    if key_env is None:
        return None
    key = os.environ.get(key_env, "").strip()
    if not key:
        raise MissingError(f"--api-key-env {key_env}: this environment variable is not set; export {key_env}=...")
    if not key.isascii() or not key.isprintable():
        raise UserError(f"--api-key-env {key_env}: its value cannot be sent in a header")
    return key


def served_model(api: Endpoint) -> str | None:
    """The first model of `GET /models`; None where the server answers, but with no such list.

    Raises MissingError when nothing answers, when it wants a key or is still loading, UserError for what is no HTTP.
    """
    where = f"{api.url}/models"
    status, body = _get(api, f"{api.base}/models", where)
    if status in (401, 403):
        raise MissingError(f"{where}: HTTP {status}; the server wants a key: --api-key-env NAME_OF_THE_VARIABLE")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        raise MissingError(f"{where}: HTTP 503; the server is still loading its model: wait until it is ready")
    try:
        model = json.loads(body)["data"][0]["id"]
    except (ValueError, LookupError, TypeError):
        return None
    return model if isinstance(model, str) else None


def check_reachable(api: Endpoint) -> None:
    """Connect once. Raises MissingError when that fails."""
    try:
        api.target().connect().close()
    except OSError as error:
        raise _unreachable(api.url, error) from None


def _get(api: Endpoint, path: str, where: str) -> tuple[int, bytes]:
    from http.client import HTTPException

    connection = _connection(api)
    try:
        connection.request("GET", path, headers=dict(api.headers))
        response = connection.getresponse()
        return response.status, response.read(1 << 20)
    except OSError as error:
        raise _unreachable(where, error) from None
    except HTTPException as error:
        raise UserError(f"{where}: does not speak HTTP ({type(error).__name__}); is it the server's port?") from None
    finally:
        connection.close()


def _connection(api: Endpoint) -> "HTTPConnection":
    from http.client import HTTPConnection, HTTPSConnection

    context = api.context()
    if context is None:
        return HTTPConnection(api.host, api.port, timeout=_TIMEOUT_S)
    return HTTPSConnection(api.host, api.port, timeout=_TIMEOUT_S, context=context)


def _unreachable(where: str, error: OSError) -> MissingError:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"{error.verify_message}; name the certificates to trust with --cacert, or take any with --insecure"
        return MissingError(f"{where}: its certificate is not trusted ({why})")
    return MissingError(f"{where}: nothing answers there ({reason(error)}); start the server, or correct the URL")
