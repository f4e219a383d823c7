"""What a run's model calls cost, from its own record, at the prices that are known when it is judged."""

from pathlib import Path

import pytest

from inferencebench.agents.meter import Call, SessionUsage
from inferencebench.agents.providers import CredentialKind
from inferencebench.agents.usage import Usage
from inferencebench.errors import UserError
from inferencebench.files import write_json, write_jsonl
from inferencebench.run.pipeline import rejudge
from tests.run.stored import stored_run

OWN = 'as_of = "2026-12-01"\nsource = "our contract"\n[models]\nown-1 = { input = 10, output = 20 }\n'
CALL = Call(
    at_s=1.0, seconds=2.0, invocation=0, method="POST", path="/v1/messages", model="claude-opus-4-7", status=200,
    generates=True, usage=Usage(input_tokens=1000, cached_input_tokens=2000, output_tokens=100),
)  # fmt: skip
USD = 1e-6 * (1000 * 5 + 2000 * 0.5 + 100 * 25)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    stored_run(tmp_path, "engine:pytorch")
    folder = stored_run(tmp_path, "script:x")
    usage = SessionUsage(credential=CredentialKind.API_KEY, models=())
    write_json(folder / "solve" / "session" / "usage.json", usage)
    return folder


def calls(run: Path, *rows: Call) -> None:
    write_jsonl(run / "solve" / "session" / "requests.jsonl", [row.model_dump(mode="json") for row in rows])


def test_calls_are_counted_and_priced(run: Path) -> None:
    calls(run, CALL, CALL, CALL.model_copy(update={"status": 429, "usage": None}))
    cost = rejudge(run, None).cost
    assert cost.api_usd == pytest.approx(2 * USD)
    assert [(row.model, row.usage.requests, row.usage.cached_input_tokens) for row in cost.models] == [
        ("claude-opus-4-7", 3, 4000)
    ]
    assert cost.credential is CredentialKind.API_KEY
    assert cost.prices is not None


def test_a_model_without_a_price_is_no_cost_of_zero_and_a_campaign_may_tell_it(run: Path, tmp_path: Path) -> None:
    calls(run, CALL, CALL.model_copy(update={"model": "own-1"}))
    assert rejudge(run, None).cost.api_usd is None
    (tmp_path / "prices.toml").write_text(OWN)
    cost = rejudge(run, None).cost
    assert cost.api_usd == pytest.approx(USD + 1e-6 * (3000 * 10 + 100 * 20))
    assert "our contract" in str(cost.prices)
    (tmp_path / "prices.toml").write_text("models = 3")
    with pytest.raises(UserError, match=r"prices\.toml"):
        rejudge(run, None)


def test_a_run_without_calls_has_no_cost_of_calls(run: Path) -> None:
    assert rejudge(run, None).cost.models == ()
    calls(run, CALL.model_copy(update={"refused": "limit", "status": 403}))
    assert rejudge(run, None).cost.api_usd is None
