"""Ending a tree of processes."""

import json
import subprocess
import sys

HELPER_OUTSIDE = """
import json, subprocess, sys, time
from inferencebench.sandbox import tree
tree.KILL_TIMEOUT_S = 10.0
init = subprocess.Popen(["true"])
init.wait()
helper = subprocess.Popen(["sleep", "100"])
began = time.monotonic()
ended = tree.end(lambda: [], init.pid, 0.0, lambda: helper.poll() is not None)
print(json.dumps([ended.survivors, helper.returncode, time.monotonic() - began]))
"""


def test_what_a_container_program_leaves_outside_is_ended_too() -> None:
    done = subprocess.run([sys.executable, "-c", HELPER_OUTSIDE], capture_output=True, text=True, check=True)
    survivors, code, seconds = json.loads(done.stdout)
    assert (survivors, code) == ([], -9)
    assert 4 < seconds < 10, "half of the time to clean up"
