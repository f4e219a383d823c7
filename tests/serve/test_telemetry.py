"""What is kept of a server while it is measured: its metrics before and after, the machine, and no harm from either."""

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inferencebench.serve import telemetry


class Engine(http.server.BaseHTTPRequestHandler):
    """Counts, and answers /metrics as it is told."""

    asked = 0
    body = "# TYPE tokens_total counter\ntokens_total {}\n"
    status = 200
    pause_s = 0.0

    def do_GET(self) -> None:
        type(self).asked += 1
        body = self.body.format(100 * self.asked).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        time.sleep(self.pause_s)
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def engine() -> Iterator[Any]:
    kind = type("Own", (Engine,), {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield SimpleNamespace(kind=kind, connect=lambda timeout: socket.create_connection(server.server_address, timeout))
    server.shutdown()
    server.server_close()


def test_metrics_and_the_machine_are_kept(engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "EVERY_S", 0.05)
    with telemetry.watching(engine, tmp_path, (0,), ()):
        time.sleep(0.4)
    assert "tokens_total 100" in (tmp_path / telemetry.BEFORE).read_text()
    assert "tokens_total 200" in (tmp_path / telemetry.AFTER).read_text()
    rows = [json.loads(line) for line in (tmp_path / telemetry.SAMPLES).read_text().splitlines()]
    assert len(rows) >= 3
    assert all(0 <= row["cpu_percent"] <= 100 and row["memory_bytes"] > 0 for row in rows)
    assert [row["at_s"] for row in rows] == sorted(row["at_s"] for row in rows)


@pytest.mark.parametrize(
    ("status", "body", "pause_s"), [(404, "no", 0.0), (200, "<html>", 0.0), (200, "[]\0", 0.0), (200, "slow 1", 1.0)]
)
def test_a_server_without_metrics_is_no_worse_off(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, body: str, pause_s: float
) -> None:
    monkeypatch.setattr(telemetry, "ALLOWED_S", 0.3)
    engine.kind.status, engine.kind.body, engine.kind.pause_s = status, body, pause_s
    started = time.monotonic()
    with telemetry.watching(engine, tmp_path, (0,), ()):
        pass
    assert time.monotonic() - started < 3
    assert not (tmp_path / telemetry.AFTER).exists()


def test_a_server_that_is_gone_is_no_worse_off(tmp_path: Path) -> None:
    def connect(timeout_s: float) -> socket.socket:
        raise ConnectionRefusedError

    with telemetry.watching(SimpleNamespace(connect=connect), tmp_path, (0,), (0,)):  # type: ignore[arg-type]
        pass
    assert not (tmp_path / telemetry.BEFORE).exists()


def test_what_the_block_raises_comes_through(engine: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="measured"), telemetry.watching(engine, tmp_path, (0,), ()):
        raise RuntimeError("measured")
