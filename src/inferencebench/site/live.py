"""The site over HTTP on this machine while a campaign runs: built again whenever a run directory changed."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson

from inferencebench.errors import BenchError, InfrastructureError
from inferencebench.files import write_atomic
from inferencebench.site.build import Built, build

HOST = "127.0.0.1"
WATCHED = frozenset({"result.json", "spec.json", "events.jsonl", "evaluations.jsonl", "decisions.jsonl"})
LIVE = "live.json"
"""What pages ask for: the number of the build."""


class Handler(SimpleHTTPRequestHandler):
    """Files of the site, to this machine's browsers only."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: Any, port: int, **more: Any) -> None:
        self._names = {f"{host}:{port}" for host in (HOST, "localhost")}
        super().__init__(*args, **more)

    def send_head(self) -> Any:
        """The file, unless the request is for another host: a foreign page may let its name resolve to us."""
        if self.headers.get("Host") not in self._names:
            self.send_error(421, "this server answers to localhost only")
            return None
        if "/." in self.path:
            self.send_error(404)
            return None
        return super().send_head()

    def list_directory(self, path: Any) -> None:
        """None is shown."""
        self.send_error(404)

    def end_headers(self) -> None:
        """Nothing is cached or framed, and a type is what it says."""
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""


class Live:
    """A site that follows some directories."""

    def __init__(self, directories: Sequence[Path], out: Path, say: Callable[[str], None]) -> None:
        self._directories, self._out, self._say = directories, out, say
        self._seen: object = None
        self._number = 0

    def first(self) -> Built:
        """The first build. Raises UserError for a directory that does not exist: that is no error to wait out."""
        now = self._signature()
        return self._put(build(self._directories, self._out, live=True), now)

    def refresh(self) -> Built | None:
        """Build again if something changed; None if not. Errors of the records are said, and the site stays as it is.

        Raises nothing that a later look could not mend."""
        try:
            now = self._signature()
            if now == self._seen:
                return None
            built = build(self._directories, self._out, live=True)
        except (BenchError, OSError) as error:
            self._say(f"not rebuilt: {error}")
            return None
        return self._put(built, now)

    def _put(self, built: Built, signature: object) -> Built:
        self._seen = signature
        self._number += 1
        write_atomic(self._out / LIVE, orjson.dumps({"build": self._number, "at": time.time()}))
        return built

    def _signature(self) -> frozenset[tuple[str, int, int]]:
        """Names, sizes and times of the watched files."""
        found = []
        for root in self._directories:
            for folder, folders, names in os.walk(root):
                folders[:] = [f for f in folders if not f.startswith(".") and f not in ("workspace", "submission")]
                for name in WATCHED.intersection(names):
                    path = os.path.join(folder, name)
                    try:
                        status = os.lstat(path)
                    except OSError:
                        continue
                    found.append((path, status.st_size, status.st_mtime_ns))
        return frozenset(found)


def open_server(out: Path, port: int) -> ThreadingHTTPServer:
    """A server of the site's files on 127.0.0.1; port 0 takes a free one.

    Raises InfrastructureError when the port is taken."""
    try:
        server = ThreadingHTTPServer((HOST, port), SimpleHTTPRequestHandler)
    except OSError as error:
        raise InfrastructureError(f"port {port} of {HOST}: {error.strerror}; name another with --port") from None
    bound = server.server_address[1]
    server.RequestHandlerClass = partial(Handler, directory=str(out), port=bound)
    server.daemon_threads = True
    return server


def follow(live: Live, server: ThreadingHTTPServer, every_s: float, say: Callable[[str], None]) -> None:
    """Serve until interrupted, looking for changes every so often."""
    threading.Thread(target=server.serve_forever, name="site", daemon=True).start()
    try:
        while True:
            time.sleep(every_s)
            if built := live.refresh():
                say(f"{built.runs} runs, {built.written} new or changed")
    finally:
        server.shutdown()
        server.server_close()
