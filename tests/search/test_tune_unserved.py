"""Tuning where nothing serves: the server's own last word in one line, nothing kept but its logs, and begun anew."""

import json
from pathlib import Path

import pytest

from inferencebench.cli import tune as cli
from inferencebench.errors import InfrastructureError, UserError
from inferencebench.search import tune
from inferencebench.search.tuned import Tuned
from tests.search.fake_engine import FakeEngine
from tests.search.tune_fake import request


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's directory and some traffic."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    row = {"messages": [{"role": "user", "content": "a number"}], "max_tokens": 12}
    (tmp_path / "chats.jsonl").write_text(json.dumps(row) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("end", "budget_s", "reason"),
    [("exit 3", 20, "it ended with exit code 3 before it was ready"), ("sleep 60", 2, "it was not ready after")],
    ids=["it ends", "the budget ends"],
)
def test_a_default_that_never_starts_is_told_with_its_last_word_and_not_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, end: str, budget_s: float, reason: str
) -> None:
    last = "ValueError: no weights here"
    script = f"#!/bin/sh\necho starting >&2; echo '{last}' >&2; echo bye >&2; echo >&2; {end}\n"
    monkeypatch.setattr(FakeEngine, "launcher", lambda *_: script)
    logs = []
    for _ in range(2):
        with pytest.raises(InfrastructureError, match=f"^the default does not serve this traffic: {reason}") as caught:
            tune.tune(request(folder, budget_s))
        (out,) = (folder / "out").iterdir()
        logs.append(max(out.glob("launches/*/server.err")))
        assert str(caught.value).endswith(f"; {last} ({logs[-1]})")
        assert {path.name for path in out.iterdir()} == {".lock", "launches"}
    assert logs[0] != logs[1], "the same command tries again"


def test_a_budget_that_no_launch_fits_in_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"^--budget 0.5s: no launch and its load of up to 0.5 s fit in; give"):
        tune.tune(request(folder, 0.5))
    assert not (folder / "out").exists()


def test_bounds_are_not_said_to_be_broken_where_none_was_given() -> None:
    reason = "the verifying launch failed: it hangs"
    result = Tuned.model_construct(
        meets_slo=False, slo=(), agrees=True, agreement=None, reason=reason, closest=None, agreement_shown=True,
        verified=None, verified_default=object(),
    )  # fmt: skip
    assert cli._warnings(result) == [reason]
