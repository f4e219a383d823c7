"""The name server of a closed network: who was asked for is remembered, and nobody is found."""

import shutil
import sys
import tempfile
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferencebench.sandbox.bubblewrap import Bubblewrap
from inferencebench.sandbox.contract import SandboxSpec
from inferencebench.sandbox.names import name_of

QUESTION = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03API\x06openai\x03com\x00\x00\x01\x00\x01"


def test_the_name_of_a_question() -> None:
    assert name_of(QUESTION) == ("api.openai.com", len(QUESTION))


@given(st.binary(max_size=80))
def test_any_bytes_are_a_name_or_none(data: bytes) -> None:
    found = name_of(data)
    assert found is None or (found[0] and found[1] <= len(data))


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")
def test_a_program_inside_finds_nobody_quickly_and_is_remembered() -> None:
    code = (
        "import socket\n"
        "for host in ('api.openai.com', 'example.org'):\n"
        "    try: socket.create_connection((host, 443), 5)\n"
        "    except OSError as error: print(type(error).__name__)\n"
        "try: socket.create_connection(('1.1.1.1', 443), 5)\n"
        "except OSError as error: print(error.errno)\n"
    )
    started = time.monotonic()
    with tempfile.TemporaryFile() as out:
        process = Bubblewrap().start(SandboxSpec(cwd="/"), ["/usr/bin/env", "python3", "-c", code], out, out)
        while process.poll() is None:
            time.sleep(0.02)
        report = process.terminate()
        out.seek(0)
        said = out.read().decode().split()
    if report.names is None:
        pytest.skip("port 53 of the namespace could not be bound here")
    if "python3:" in " ".join(said):
        pytest.skip(f"no python3 of the base system ({sys.executable} is not mounted here)")
    assert said[:2] == ["gaierror", "gaierror"]
    assert said[2] == "101"
    assert {"api.openai.com", "example.org"} <= set(report.names)
    assert time.monotonic() - started < 5
