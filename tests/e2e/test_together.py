"""Runs beside each other, stale baselines, mid-run evaluations, the clock, and bad input."""

import json
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inferencebench.files import sha256_file
from tests.e2e.conftest import TINY, bench, command, run_json
from tests.e2e.test_kills import MOCK
from tests.waiting import wait_for

SOLVE = """
cp agent/server.py submission/server.py
echo 'TOKEN_S={token_s} exec "$IB_PYTHON" /workspace/submission/server.py' > submission/start_server.sh
"""


def test_two_runs_side_by_side_keep_their_own_servers(campaign: Path, script: Callable[..., str]) -> None:
    agents = [script(n, SOLVE.format(token_s=s), server__py=MOCK) for n, s in (("fast", "0.004"), ("slow", "0.04"))]
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda agent: run_json(campaign, "decode", agent, "--share-device"), agents))
    fast, slow = (r["metric"]["value"] for r in results)
    assert 0.004 < fast < 0.04 < slow, "each at least its own pace, and the fast one not the other's"
    assert [r["ranked"] for r in results] == [False, False]


def test_the_same_run_twice_at_once_is_refused(campaign: Path, script: Callable[..., str]) -> None:
    agent = script("sleepy", "sleep 120")
    first = subprocess.Popen(
        command("run", TINY, "decode", agent, "--out", campaign), stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: list(campaign.glob("tiny/decode/*sleepy*/default/21-1337/solve")), 60, "the first run's begin")
    refused = bench("run", TINY, "decode", agent, "--out", campaign, code=2)
    assert "another process is working here" in refused.stderr
    first.terminate()
    first.communicate(timeout=30)


def test_a_foreign_or_stale_baseline_is_refused_with_the_reason(
    campaign: Path, tmp_path: Path, script: Callable[..., str]
) -> None:
    agent = script("idle", "true")
    foreign = bench("run", TINY, "decode", agent, "--out", tmp_path / "other", "--baseline", campaign, code=2)
    assert "cannot be used" in foreign.stderr
    assert "salt" in foreign.stderr
    same_salt = tmp_path / "same"
    same_salt.mkdir()
    (same_salt / ".salt").write_bytes((campaign / ".salt").read_bytes())
    imported = run_json(same_salt, "decode", agent, "--baseline", str(campaign))
    assert imported["baseline"]["sha256"]
    other = tmp_path / "other" / "tiny" / "decode"
    assert not list(other.glob("engine-pytorch*/default/21-1337/result.json")), "a refused baseline is not copied"
    measured = next(same_salt.glob("tiny/decode/engine-pytorch*/default/21-1337")) / "measure"
    key, stamp = (json.loads((measured / name).read_text()) for name in ("comparability.json", "phase.json"))
    (measured / "comparability.json").write_text(json.dumps({**key, "torch": "1.0"}))
    stamp["outputs"]["comparability.json"] = sha256_file(measured / "comparability.json")
    (measured / "phase.json").write_text(json.dumps(stamp))
    stale = bench("run", TINY, "decode", agent, "--out", same_salt, code=2)
    assert "torch 1.0 there" in stale.stderr


EVALUATES = (
    SOLVE.format(token_s="0.003")
    + """
./timer
./test_server --timeout 20 || exit 3
./evaluate --json > first.json || cat first.json
./evaluate --quick
echo 'exit 1' > submission/start_server.sh
./evaluate || echo "failed as it should"
"$IB_PYTHON" /workspace/agent/server.py & server=$!
until "$IB_PYTHON" -c 'import os, socket; socket.create_connection((os.environ["HOST"], int(os.environ["PORT"])))' \
    2> /dev/null; do sleep 0.1; done
./evaluate --quick || echo "busy as it should"
kill $server
cp agent/server.py submission/server.py
echo 'TOKEN_S=0.006 exec "$IB_PYTHON" /workspace/submission/server.py' > submission/start_server.sh
"""
)


def test_evaluations_are_measured_outside_recorded_and_tied_to_the_snapshot(
    campaign: Path, script: Callable[..., str]
) -> None:
    result = run_json(campaign, "decode", script("evaluates", EVALUATES, server__py=MOCK))
    directory = next(campaign.glob("tiny/decode/*evaluates*/default/21-1337"))
    log = (directory / "solve" / "stdout.log").read_text() + (directory / "solve" / "stderr.log").read_text()
    assert "ready after" in log
    assert "failed as it should" in log
    assert "device_busy" in log
    evaluations = json.loads((directory / "solve" / "session.json").read_text())["evaluations"]
    assert [(e["quick"], e["ok"]) for e in evaluations] == [(False, True), (True, True), (False, False)]
    assert (
        evaluations[0]["submission_sha256"]
        == evaluations[1]["submission_sha256"]
        != evaluations[2]["submission_sha256"]
    )
    assert evaluations[0]["quality_passed"] is False
    assert 0.003 < evaluations[0]["value"] < 0.012
    assert result["outcome"] in ("quality_failed", "integrity_flagged")
    assert result["best_seen"] is None


LEAVES = (
    SOLVE.format(token_s="0.003")
    + """
"$IB_PYTHON" - <<'PY'
import os, socket
def post(length, body):
    s = socket.socket(socket.AF_UNIX)
    s.connect(os.environ["IB_SOCKET"])
    lines = ["POST /v1/evaluations HTTP/1.1", "Host: h", "Content-Type: application/json", f"Content-Length: {length}"]
    s.sendall("\\r\\n".join([*lines, "", ""]).encode() + body)
    return s
print(post(900_000_000, b"").recv(60))
post(15, b'{"quick": true}').close()
PY
until ./evaluate --quick; do sleep 1; done
echo 'exit 1' > submission/start_server.sh  # what is shown here is shown by now
"""
)


def test_a_client_that_leaves_and_a_large_body_harm_nothing(campaign: Path, script: Callable[..., str]) -> None:
    run_json(campaign, "decode", script("leaves", LEAVES, server__py=MOCK), "--budget", "60s")
    directory = next(campaign.glob("tiny/decode/*leaves*/budget_s*/21-1337"))
    assert "413" in (directory / "solve" / "stdout.log").read_text()
    session = json.loads((directory / "solve" / "session.json").read_text())
    assert session["ended"] == "finished"
    assert [e["ok"] for e in session["evaluations"]] == [True, True]


LATE = (
    SOLVE.format(token_s="1")
    + """
./evaluate &
sleep 2.5
echo 'exit 1' > submission/start_server.sh
sleep 100
"""
)


def test_an_evaluation_under_way_ends_with_the_session(campaign: Path, script: Callable[..., str]) -> None:
    run_json(campaign, "decode", script("late", LATE, server__py=MOCK), "--budget", "6s")
    directory = next(campaign.glob("tiny/decode/*late*/budget_s*/21-1337"))
    session = json.loads((directory / "solve" / "session.json").read_text())
    assert (session["ended"], session["survivors"]) == ("deadline", [])
    assert session["seconds"] < 60, "not the 100 s that it sleeps"
    assert [e["ok"] for e in session["evaluations"]] == [False]


def test_the_clock_ends_the_session_and_everything_in_it(campaign: Path, script: Callable[..., str]) -> None:
    text = SOLVE.format(token_s="0.003") + "(setsid sleep 300 & disown); sleep 300"
    result = run_json(campaign, "decode", script("overtime", text, server__py=MOCK), "--budget", "3s")
    assert result["condition"] == "budget_s=3.0"
    directory = next(campaign.glob("tiny/decode/*overtime*/budget_s*/21-1337"))
    session = json.loads((directory / "solve" / "session.json").read_text())
    assert (session["ended"], session["survivors"]) == ("deadline", [])
    assert 3 <= session["seconds"] < 60, "not the 300 s that it sleeps"
    assert result["measurement"]["failure"] is None


def test_nothing_secret_is_visible_to_the_agent(campaign: Path, script: Callable[..., str]) -> None:
    text = """
cat /proc/[0-9]*/cmdline | tr '\\0' ' '; env; cat /proc/self/mountinfo > mounts.txt
find / -xdev \\( -name '*.salt*' -o -name 'eval*.jsonl' -o -name 'factual*' \\) 2>/dev/null
"""
    run_json(campaign, "decode", script("spy", text))
    directory = next(campaign.glob("tiny/decode/*spy*/default/21-1337"))
    seen = (directory / "solve" / "stdout.log").read_text()
    assert "MODEL_PATH=/model" in seen
    for secret in ("1337", str(campaign), "eval.jsonl", "eval_questions", "factual", ".salt"):
        assert secret not in seen, secret
    mounts = (directory / "solve" / "workspace" / "mounts.txt").read_text()
    assert "/workspace" in mounts
    assert "21-1337" not in mounts
    assert "/1337" not in mounts


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run", "laptopp", "decode", "engine:pytorch"], "laptop"),
        (["run", str(TINY), "decoding", "engine:pytorch"], "decode"),
        (["run", str(TINY), "decode", "engine:nothing"], "llamacpp"),
        (["run", str(TINY), "decode", "wizard:x"], "engine:llamacpp"),
        (["run", str(TINY), "decode", "script:nowhere"], "solve.sh"),
        (["run", str(TINY), "decode", "engine:pytorch", "--budget", "soon"], "30m"),
        (["run", str(TINY), "decode", "engine:pytorch", "--seed-pair", "7"], "21,1337"),
        (["run", str(TINY), "decode", "engine:pytorch", "--seed-pair", "7,7"], "must differ"),
        (["run", str(TINY), "decode", "engine:pytorch", "--sandbox", "castle"], "bubblewrap"),
        (["results", "nowhere"], "no such directory"),
        (["rescore", "nowhere"], "no such directory"),
        (["run", str(TINY), "decode", "engine:pytorch", "--out", str(TINY)], "tiny.toml"),
        (["frobnicate"], "frobnicate"),
        (["run"], "Missing argument"),
    ],
)
def test_bad_input_is_one_line_that_says_what_would_be_right(args: list[str], message: str, tmp_path: Path) -> None:
    done = bench(*args, code=2, cwd=tmp_path)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert message in lines[0]
