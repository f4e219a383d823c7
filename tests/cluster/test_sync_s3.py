"""`campaign sync` by the real command to a server that speaks S3 (moto), also through a proxy that breaks off."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.campaign.test_driver import finish, the_plan
from tests.campaign.test_sync import a_run

pytest.importorskip("s3fs", reason="needs s3fs: pip install s3fs")
moto = pytest.importorskip("moto.server", reason="needs moto: pip install 'moto[server]'")
KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing-secret-key",
    "AWS_DEFAULT_REGION": "us-east-1",
}
FILE = (
    'name = "t"\n[matrix]\nsuites = ["laptop"]\nagents = ["engine:llamacpp", "script:a"]\n'
    'scenarios = ["decode"]\nseed_pairs = [{ dev = 1, eval = 2 }]\n'
)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of a server with an empty bucket `bucket`."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    import s3fs

    s3fs.S3FileSystem(endpoint_url=url, skip_instance_cache=True).mkdir("bucket")
    yield url
    server.stop()


class Breaking:
    """A TCP proxy that ends every connection after `allowed` bytes in all have gone through, until it is mended."""

    def __init__(self, port: int, allowed: int) -> None:
        self._to, self.left = port, allowed
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._socket.accept()
            server = socket.create_connection(("127.0.0.1", self._to))
            for a, b in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=(a, b), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self.left -= len(data)
                if self.left < 0:
                    break
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            one.close()


def sync(file: Path, out: Path, url: str, code: int = 0) -> tuple[dict[str, Any], str]:
    argv = [sys.executable, "-m", "inferencebench", "campaign", "sync", str(file), "s3://bucket/records"]
    argv += ["--out", str(out), "--option", f"endpoint_url={url}", "--json"]
    if code:
        argv += ["--option", 'config_kwargs={"retries": {"max_attempts": 0}, "read_timeout": 5}']
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) if code == 0 else {}, done.stderr


def test_records_reach_an_object_store_also_after_a_broken_connection(s3: str, tmp_path: Path) -> None:
    import s3fs

    todo, out, file = the_plan(), tmp_path / "out", tmp_path / "c.toml"
    file.write_text(FILE)
    (out / ".campaign").mkdir(parents=True)
    (out / ".campaign" / "tasks.jsonl").touch()
    (out / ".salt").write_bytes(bytes(32))
    for task in todo.tasks:
        a_run(out, task.directory)
        (out / task.directory / "measure" / "chunks.parquet").write_bytes(os.urandom(200_000))
        finish(out, task)
    proxy = Breaking(int(s3.rpartition(":")[2]), 350_000)
    _, said = sync(file, out, f"http://127.0.0.1:{proxy.port}", code=3)
    assert len(said.strip().splitlines()) == 1, said
    assert "cannot write" in said
    bucket = s3fs.S3FileSystem(endpoint_url=s3, skip_instance_cache=True)
    for name in bucket.find("bucket/records"):
        assert bucket.cat_file(name) == (out / name.removeprefix("bucket/records/")).read_bytes(), (
            "no part of a file is seen"
        )
    report, _ = sync(file, out, s3)
    assert (report["finished"], report["sealed"]) == (3, 3 * 3 + 1)
    assert report["copied"] + report["same"] == 3 * 7 + 1
    bucket.invalidate_cache()
    sums = bucket.cat_file("bucket/records/SHA256SUMS").decode().splitlines()
    assert len(sums) == 3 * 7 + 1
    for line in sums:
        digest, name = line.split("  ", 1)
        assert hashlib.sha256(bucket.cat_file(f"bucket/records/{name}")).hexdigest() == digest
    assert sync(file, out, s3)[0]["copied"] == 0
    assert not [name for name in bucket.find("bucket/records") if "eval" in name or "salt" in name]
