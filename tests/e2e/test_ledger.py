"""`./ledger` from inside the sandbox, against the real evaluation service and a mock server."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.e2e.conftest import run_json
from tests.e2e.test_kills import MOCK
from tests.e2e.test_together import SOLVE

STEPS = (
    SOLVE.format(token_s="0.003")
    + """
./ledger
./evaluate --quick || exit 3
sed -i 's/0.003/0.006/' submission/start_server.sh
./evaluate --quick || true
echo 'exit 1' > submission/start_server.sh
./evaluate --quick || true
./ledger
./ledger --json > view.json
./ledger diff 2 > two.diff
./ledger restore BEST || echo "no best, as it should"
./ledger restore 3 || echo "refused, as it should"
ls -a /workspace
"""
)


def test_the_ledger_lists_and_refuses_through_the_socket(campaign: Path, script: Callable[..., str]) -> None:
    agent = script("ledgers", STEPS, server__py=MOCK)
    run_json(campaign, "decode", agent, "--prompt", "ledger")
    folder = next(campaign.glob("tiny/decode/*ledgers*/prompt=ledger-*/21-1337")) / "solve"
    log = (folder / "stdout.log").read_text() + (folder / "stderr.log").read_text()
    assert "nothing was evaluated yet" in log
    assert "no best, as it should" in log
    assert "refused, as it should" in log
    view = json.loads((folder / "workspace" / "view.json").read_text())
    assert [e["evaluation"]["ok"] for e in view["entries"]] == [True, True, False]
    assert [e["single_variable"] for e in view["entries"][:2]] == [None, True]
    assert "+TOKEN_S=0.006" in (folder / "workspace" / "two.diff").read_text()
    assert (folder / "workspace" / "PROMPT.md").read_text() == (folder / "prompt.md").read_text()
    assert "./ledger restore" in (folder / "prompt.md").read_text()


def test_there_is_no_ledger_under_the_default_condition(campaign: Path, script: Callable[..., str]) -> None:
    text = 'ls; "$IB_PYTHON" -m inferencebench.run.tools ledger || echo "none, as it should"'
    run_json(campaign, "decode", script("plain", text))
    folder = next(campaign.glob("tiny/decode/*plain*/default/21-1337")) / "solve"
    listing = (folder / "stdout.log").read_text().split()
    assert "evaluate" in listing
    assert "ledger" not in listing
    assert "none, as it should" in (folder / "stdout.log").read_text()
