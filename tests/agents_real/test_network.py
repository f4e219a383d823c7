"""The mirror condition with the real pip and a real registry."""

import dataclasses
import json
import socket
from pathlib import Path

import pytest

from inferencebench.agents.script import ScriptAgent
from inferencebench.sandbox.contract import Mount
from inferencebench.sandbox.environment import engine_view
from tests.agents_real.conftest import session

SOLVE = '"$IB_PYTHON" -m pip download --no-deps --no-cache-dir -q -d submission/packages six==1.17.0\n'


def test_pip_downloads_through_the_mirror(tmp_path: Path) -> None:
    try:
        socket.create_connection(("pypi.org", 443), timeout=5).close()
    except OSError as error:
        pytest.skip(f"pypi.org cannot be reached: {error}")
    the = session(tmp_path, 60, net="mirror")
    view = engine_view()
    mounts = (*view.mounts, Mount(the.workspace, "/workspace", writable=True))
    the = dataclasses.replace(the, spec=dataclasses.replace(the.spec, mounts=mounts, env=view.env))
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent/solve.sh").write_text(SOLVE)
    ended = ScriptAgent(str(tmp_path / "agent")).solve(the)
    said = (tmp_path / "logs/stderr.log").read_text()
    assert ended.exit_code == 0, said
    assert list((the.workspace / "submission/packages").glob("six-1.17.0-*.whl")), said
    rows = [json.loads(line) for line in (tmp_path / "logs/network.jsonl").read_text().splitlines()]
    assert {row["host"] for row in rows} == {"pypi.org", "files.pythonhosted.org"}
    assert sum(row["received_bytes"] for row in rows) > 10_000
